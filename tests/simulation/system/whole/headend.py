"""The head-end's processes: ingest's pump, the worker's round, a till and a gate, on one store."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import msgspec
import psycopg

from headend.ingest.loop import Ingest
from headend.ingest.writer import Writer
from headend.keystore import Keystore
from headend.prepayment import contract, engine
from headend.prepayment.contract import Supply
from headend.prepayment.terms import Terms, encode_terms
from headend.store import db
from headend.worker import Worker
from ohmesh.model.command import NEEDS_RELEASE, CommandKind
from ohmesh.wire import topics
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.release import Release, sign_release
from ohmesh.wire.uplink import decode_ack
from whole.field import BASE
from whole.judge import Judge
from whole.store import Connection, Killed, Store, through

KEYSTORE = Keystore(bytes(32))
MU_PER_WH = 30
ENERGY = ("el.energy.import", "el.energy.import.total")
WORK_MS, TILL_MS = 5_000, 30_000
RESTART_MS = 3_000
_GUARDED = {kind.value for kind in NEEDS_RELEASE}


class Port:
    """One ingest process's end of the broker, as `headend.ingest.source.Source`."""

    def __init__(self, broker):
        self._broker = broker
        self.waiting = deque()

    def fetch(self, limit, wait_s):  # noqa: ARG002 - the port's; nobody waits here
        return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    def done(self, deliveries):
        for delivery in deliveries:
            self._broker.unacknowledged.pop(delivery.mid, None)

    def again(self, deliveries):
        self.waiting.extendleft(reversed(deliveries))


class Headend:
    """Everything behind the broker."""

    def __init__(self, sim, gate_private, *, ingests=2):
        self._sim = sim
        self._gate_private = gate_private
        self.store = Store()
        self.judge = Judge(self.store)
        self.ports = [Port(sim.broker) for _ in range(ingests)]
        self._ingests = [self._new_ingest(port) for port in self.ports]
        self._connections = [self.connection("ingest") for _ in self.ports]
        self._pumping = [False] * ingests
        self._worker = self._new_worker()
        self.away_until_ms = 0

    def now(self):
        """UTC."""
        return BASE + timedelta(milliseconds=self._sim.air.now_ms)

    def settle_in(self, meters, gateways):
        """Everybody is registered, everybody has a prepaid account."""
        store = self.store
        for gateway in gateways:
            store.put(
                "gateway", gateway.id, {"id": gateway.id, "tenant_id": 1, "name": gateway.name}
            )
        terms = encode_terms(Terms(pack="unrestricted-demo", notice_minutes=None))
        for meter in meters:
            self._register(meter, terms)
        store.settle()

    def _register(self, meter, terms):
        config, number, store = meter.config, meter.number, self.store
        common = {"id": number, "tenant_id": 1}
        keys = {"key_sealed": KEYSTORE.seal(config.meter, config.key), "market_keys_sealed": None}
        names = {"name": config.meter, "address": config.address}
        more = {"profile": config.profile.spec.name, "version": 1, "other_keys_sealed": []}
        store.put("meter", number, {**common, **names, **more, **keys})
        relay = {"relay": None, "relay_counter": -1, "relay_at": None, "down_counter": 0}
        heard = {"gateway_id": None, "last_seen": None, "up_seen": frozenset()}
        store.put("meter_status", number, {**relay, **heard})
        account = {"name": f"A{number}", "meter_id": number, "currency": "EUR", "terms": terms}
        store.put("account", number, {**common, **account})
        store.put("wallet", number, self._sim.dice.randrange(1_000, 40_000))
        store.put("rated", number, ())
        never = dict.fromkeys(("reason", "decided_at", "command_id", "next_eval_at"))
        kept = msgspec.json.encode(Supply()).decode()
        store.put("supply", number, {"kept": kept, "relay_counter": -1, **never})

    def start(self):
        """Begin the rounds."""
        self._every(WORK_MS, self._work)
        self._every(TILL_MS, self._till)
        self._every(WORK_MS, self._gate)

    def _every(self, period_ms, step):
        def turn():
            wait_ms = period_ms if step() else RESTART_MS
            self._sim.air.at(self._sim.air.now_ms + wait_ms, turn)

        self._sim.air.at(self._sim.air.now_ms + period_ms, turn)

    # --- the store ------------------------------------------------------------------------------

    def connection(self, who):
        """A connection that may fail as the dice say."""

        def fault(point):
            if self._sim.air.now_ms < self.away_until_ms:
                raise psycopg.OperationalError("the database is away")
            if self._sim.chaos.strikes(f"{who} killed"):
                self.judge.note("killed", who, point)
                raise Killed
            if self._sim.chaos.strikes("database"):
                self.judge.note("database", who, point)
                raise psycopg.OperationalError(f"the connection broke at a {point}")

        return Connection(self.store, now=self.now, fault=fault, committed=self.judge.committed)

    def restore(self, tables):
        """Go back to a back-up; nobody is connected then."""
        self.store.restore(tables)
        self._connections = [self.connection("ingest") for _ in self.ports]
        self.judge.restored()

    def has_met(self, gateway):
        """Whether the store has what it once told this gateway."""
        epoch, acked = gateway.acknowledged
        return acked <= through(self.store.table("progress").get((gateway.id, epoch), frozenset()))

    # --- ingest ---------------------------------------------------------------------------------

    def _new_ingest(self, port):
        return Ingest(
            url="",
            source=port,
            writer=Writer(KEYSTORE),
            publish=self._acknowledge,
            batch_messages=16,
            batch_telegrams=200,
            batch_wait_ms=0,
        )

    def _acknowledge(self, topic, payload):
        gateway = self._sim.gateway_named(topics.gateway_of(topic))
        if self._sim.chaos.strikes("ingest killed"):
            raise Killed
        self.judge.acknowledged(gateway.id, decode_ack(payload))
        self._sim.broker.publish_down(lambda: gateway.take_ack(payload))
        return True

    def arrive(self, delivery):
        """A message of the broker, for one of the ingest processes."""
        number = self._sim.dice.randrange(len(self.ports))
        self.ports[number].waiting.append(delivery)
        self._wake(number, self._sim.dice.randrange(5, 200))

    def _wake(self, number, wait_ms):
        if not self._pumping[number]:
            self._pumping[number] = True
            self._sim.air.at(self._sim.air.now_ms + wait_ms, lambda: self._pump(number))

    def _pump(self, number):
        self._pumping[number] = False
        try:
            self._ingests[number]._step(self._connections[number])
        except Killed:
            self.ports[number] = Port(self._sim.broker)
            self._ingests[number] = self._new_ingest(self.ports[number])
            self._sim.broker.redeliver()
        except db.Unavailable:
            self._connections[number] = self.connection("ingest")
            self._wake(number, self._sim.dice.randrange(500, 5_000))
        if self.ports[number].waiting:
            self._wake(number, 50)

    # --- the worker, the till, the gate ---------------------------------------------------------

    def _new_worker(self):
        return Worker(url="", keystore=KEYSTORE, publish=self._order, now=self.now)

    def _order(self, topic, payload):
        gateway = self._sim.gateway_named(topics.gateway_of(topic))
        if self._sim.chaos.strikes("worker killed"):
            raise Killed
        message = decode_down(payload)
        meter = self._sim.meter_at(message.meter)
        if self.judge.ordered(meter, message.payload) is CommandKind.RELAY_OFF:
            self._sim.pays_at_the_last_moment(meter.number)
        self._sim.broker.publish_down(lambda: gateway.order(payload))
        return True

    def _work(self):
        try:
            self._worker.step(self.connection("worker"))
        except Killed:
            self._worker = self._new_worker()
            return False
        except db.Unavailable:
            return False
        assert not self._worker._avoided, "an account cannot be worked on"
        return True

    def _till(self):
        """What was used is charged, and the engine hears of it, in one transaction."""
        connection = self.connection("till")
        try:
            for account in {row["account_id"] for row in self.store.table("till").values()}:
                with db.transaction(connection):
                    db.run(connection, self._charge(account))
        except (Killed, db.Unavailable):
            return False
        return True

    def _charge(self, account):
        store = self.store
        for key in [k for k, r in store.table("till").items() if r["account_id"] == account]:
            store.remove("till", key)
        ids = [c["id"] for c in store.table("channel").values() if c["name"] in ENERGY]
        newest = store.table("newest")
        found = [newest[account, channel] for channel in ids if (account, channel) in newest]
        if not found:
            return None
        at, wh = max(found)
        before = store.table("rated")[account]
        if before and at > before[0]:
            store.put(
                "wallet", account, store.table("wallet")[account] - (wh - before[1]) * MU_PER_WH
            )
        if not before or at > before[0]:
            store.put("rated", account, (at, wh))
        return (yield from engine.apply_events(account, [contract.Reading(at, 0)], self.now()))

    def top_up(self, account, amount_mu):
        """A customer pays."""
        connection = self.connection("api")
        try:
            with db.transaction(connection):
                wallet_mu = self.store.table("wallet")[account] + amount_mu
                self.store.put("wallet", account, wallet_mu)
                plan = engine.apply_events(account, [contract.ToppedUp()], self.now())
                db.run(connection, plan)
        except (Killed, db.Unavailable):
            return
        self.judge.note("top-up", account)

    def _gate(self):
        """Signs what the store asks for; the gate's own judgement has its own tests."""
        connection = self.connection("gate")
        try:
            with db.transaction(connection):
                for row in list(self.store.table("command").values()):
                    if row["kind"] in _GUARDED and row["id"] not in self.store.table("release"):
                        self.store.put("release", row["id"], self._release(row))
        except (Killed, db.Unavailable):
            return False
        return True

    def _release(self, row):
        not_after = min(row["not_after"], self.now() + timedelta(hours=1))
        address = self.store.table("meter")[row["meter_id"]]["address"]
        release = Release(UUID(str(row["id"])).bytes, int(not_after.timestamp()), "")
        return {
            "not_after": not_after,
            "octets": sign_release(self._gate_private, address, release),
        }


def clock(sim):
    """The module `time` as ingest sees it."""
    return SimpleNamespace(
        monotonic=lambda: sim.air.now_ms / 1000,
        time_ns=lambda: int(sim.head.now().timestamp() * 1000) * 10**6,
        sleep=lambda _: None,
    )
