"""A6: a top-up and a cut in any interleaving of their statements leave nobody wrongly in the dark.

Payer, worker, gate and a second worker run their own plans on connections of their own; dice say
whose statement (or commit) comes next. Messages and answers are lost, doubled and swapped.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from headend.commands import sending
from headend.gate.judging import Signer, judge_all
from headend.gate.process import Gate
from headend.prepayment import engine, ledger, supplying
from headend.prepayment.ledger import Code, Leg, Transaction
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import load_pack
from headend.prepayment.states import State
from headend.service import payments
from headend.service.accounts import add_tariff, open_account
from headend.service.payments import Payment
from headend.store import db
from headend.store.plan import Statement
from headend.worker import Worker
from ohmesh.model.command import CommandKind, RelayState
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.metercommand import decode_command, decode_result
from ohmesh.wire.sealed import takes_supply_away, unseal

DAY = datetime(2026, 6, 1, 12, 50, tzinfo=UTC)  # a Monday
PACK = "gb-example"
ZONE = "Europe/London"
TERMS = {"pack": PACK, "notice_minutes": None, "stale_after_s": 366 * 86_400}
HEAR_COMMAND = (
    "update ohmesh.command set state = %(state)s, resolved_at = now(), relay = %(relay)s"
    " where id = %(id)s::uuid and state in ('sent', 'in_field')"
)
HEAR_RELAY = (
    "update ohmesh.meter_status set relay = %(relay)s, relay_at = now(),"
    " relay_counter = %(counter)s where meter_id = 1 and relay_counter < %(counter)s"
)
BLOCKED_S = 0.005
"""A statement that takes longer waits for a lock; only the order of turns hangs on it."""


class Turns:
    """Says whose statement comes next."""

    def __init__(self, dice):
        self._dice = dice
        self._waiting = []
        self._changed = asyncio.Event()

    async def mine(self):
        go = asyncio.get_running_loop().create_future()
        self._waiting.append(go)
        self._changed.set()
        await go

    async def play(self, actors):
        tasks = [asyncio.create_task(actor) for actor in actors]
        for task in tasks:
            task.add_done_callback(lambda _: self._changed.set())
        while running := [task for task in tasks if not task.done()]:
            self._changed.clear()
            if len(self._waiting) < len(running):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), BLOCKED_S)
                if not self._waiting or self._changed.is_set():
                    continue
            self._waiting.pop(self._dice.randrange(len(self._waiting))).set_result(None)
        for task in tasks:
            task.result()


class Street:
    """One prepaid contract, whose meter is at the end of a bad line."""

    def __init__(self, store, kit, seed):
        self.store, self.kit = store, kit
        self.dice = random.Random(seed)
        self.now = DAY
        self.meter = kit.Meter(kit.KEY)
        self.air, self.answers, self.seen = [], [], Counter()
        self.payments = 0
        gateway = store.gateway()
        store.meter()
        store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1))
        self.account = store.ask(
            open_account(1, "anna", meter="M1", tariff="flat", now=DAY, terms=TERMS)
        )
        store.as_admin_all(
            f"insert into ohmesh.service_point (tenant_id, name, zone) values (1, 'S', '{ZONE}');"
            f" update ohmesh.meter set service_point_id = 1;"
            f" update ohmesh.meter_status set gateway_id = {gateway};"
            f' update ohmesh.supply set kept = kept || \'{{"data_at": "{DAY.isoformat()}"}}\''
        )
        self.admin = db.connect(store.admin_url, name="test", autocommit=True)
        self.worker_connection = store.connect("worker")
        self.gate_connection = store.connect("gate")
        self.api_connection = store.connect("api")
        self.worker = Worker(
            url=store.urls["worker"],
            keystore=store.keystore,
            publish=lambda _, payload: not self.air.append(payload),
            now=lambda: self.now,
        )
        self.signer = Signer(kit.GATE_KEY, {})
        self.gate = Gate(url=store.urls["gate"], signer=self.signer, now=lambda: self.now)

    # -- one race ---------------------------------------------------------------------------------

    async def race(self, pools):
        self.turns = Turns(self.dice)
        actors = [self.head_end(pools), self.head_end(pools), self.pays(pools), self.obeys(pools)]
        actors += [self.uses(pools)]
        if self.dice.random() < 0.3:
            actors.append(self.pays(pools))
        if self.dice.random() < 0.3:
            actors.append(self.clock_moves())
        await self.turns.play(actors)

    async def do(self, pool, plan, tenant=1):
        """Run a plan as its role does, waiting for a turn before every statement and the commit."""
        async with db.tenant_transaction(pool, tenant) as connection:
            return await self.run(connection, plan)

    async def run(self, connection, plan):
        rows = None
        try:
            while True:
                statement = plan.send(rows)
                await self.turns.mine()
                cursor = await connection.execute(statement.sql, statement.params, binary=True)
                rows = await cursor.fetchall() if cursor.description else []
        except StopIteration as stop:
            await self.turns.mine()
            return stop.value

    async def head_end(self, pools):
        """Visit, judge, send; what leaves is judged at the instant at which it leaves."""
        await self.do(pools["worker"], engine.visit(self.account, self.now))
        await self.do(pools["gate"], judge_all(self.signer, self.now))
        for due in await self.do(pools["worker"], sending.look(self.now)):
            self.leave(await self.do(pools["worker"], sending.begin(due, self.now, 0.5)))
        for cut in await self.do(pools["worker"], sending.cuts(self.now)):
            self.leave(await self.do(pools["worker"], sending.begin_cut(cut, self.now, 0.5)))

    async def pays(self, pools):
        self.payments += 1
        amount, key = self.dice.randint(1, 100), f"p{self.payments}"
        for _ in range(self.dice.randint(0, 40)):
            await self.turns.mine()
        await self.do(pools["api"], payments.pay(1, Payment("anna", amount, key), self.now))

    async def uses(self, pools):
        await self.do(pools["worker"], self.charge(self.dice.randint(30, 120)))

    async def clock_moves(self):
        for _ in range(self.dice.randint(1, 40)):
            await self.turns.mine()
        self.now += timedelta(minutes=11)

    async def obeys(self, pools):
        """The meter takes what is in the air, old or new; its answer may be lost, or come twice."""
        for _ in range(self.dice.randint(0, 60)):
            await self.turns.mine()
            if self.air and self.dice.random() < 0.2:
                self.execute(self.dice.choice(self.air))
            if self.answers and self.dice.random() < 0.3:
                await self.do(pools["ingest"], self.hear(self.dice.choice(self.answers)))

    def charge(self, amount_mu):
        """What was used, posted as the worker does it, under the lock of the account."""
        account = yield from engine.lock_account(self.account)
        leg = Leg(ledger.WALLET, ledger.REV_ENERGY, amount_mu, Code.ENERGY)
        key = f"use:{self.payments}:{self.now.isoformat()}"
        yield from ledger.post(Transaction(1, account["id"], "EUR", key, self.now, [leg]), self.now)
        yield engine.SQL("add_news", account_id=self.account)

    def leave(self, attempt):
        if attempt is None:
            return
        key = self.store.keystore.open(attempt.due.meter, attempt.due.key_sealed)
        for payload in sending.messages(attempt, key, lambda sealed: sealed, self.now):
            self.check(attempt, payload)
            self.air.append(payload)

    def check(self, attempt, payload):
        """I9, I10: at this instant the last decision is to cut, by right and within the hours."""
        if not takes_supply_away(decode_down(payload).payload):
            return
        kept, wallet_mu = self.supply(), self.wallet_mu()
        assert not kept.desired_on
        command = self.value("select command_id from ohmesh.supply")
        assert command == attempt.due.id
        assert wallet_mu <= 0
        assert attempt.due.not_after > self.now
        facts = PermissionContext(supplying.policy("x", "{}", ZONE).zone, debt_mu=2**53)
        assert may_disconnect(attempt.at, load_pack(PACK), facts).ok

    # -- the field --------------------------------------------------------------------------------

    def execute(self, payload):
        """As the simulated meter: what is older than the fence, or late, is not done."""
        down = decode_down(payload)
        command = decode_command(unseal(self.kit.KEY, "M1", down.payload).body)
        if command.not_after_s < self.now.timestamp():
            return
        self.answers.append(unseal(self.kit.KEY, "M1", self.meter.obey(payload).payload))

    def hear(self, opened):
        """What ingest does with a result: the command ends, the relay is read back, in order."""
        result = decode_result(opened.body)
        params = {
            "id": result.id.hex(),
            "relay": result.relay.value,
            "counter": opened.counter,
            "state": "done" if result.status.value == 0 else "failed",
        }
        yield Statement(HEAR_COMMAND, params)
        yield Statement(HEAR_RELAY, params)

    # -- and what must be so in the end ---------------------------------------------------------

    def settle(self):
        """The line is good again: what is sent arrives, what is answered is heard."""
        for _ in range(20):
            for opened in self.answers:
                with db.transaction(self.ingest):
                    db.run(self.ingest, self.hear(opened))
            self.answers.clear()
            sent = len(self.air)
            self.worker.sweep_page(self.worker_connection)
            self.worker.step(self.worker_connection)
            self.gate.step(self.gate_connection)
            self.worker.step(self.worker_connection)
            for payload in self.air[sent:]:
                self.execute(payload)
            if not self.answers and not self.open_commands():
                break
            self.now += timedelta(seconds=75)
        else:
            pytest.fail(f"it does not come to rest: {self.supply()}")

    def judge(self):
        wallet_mu, kept = self.wallet_mu(), self.supply()
        if wallet_mu > 0:
            assert self.meter.relay is RelayState.CONNECTED, f"paid and in the dark: {kept}"
            assert kept.desired_on
        assert (self.meter.relay is RelayState.CONNECTED) == kept.desired_on, kept
        assert self.value("select sum(credits_mu - debits_mu) from ohmesh.account_balance") == 0
        self.seen["off" if not kept.desired_on else "on"] += 1

    def next_day(self, *, pays=False):
        """A new day with credit for nearly nothing, or still in the dark."""
        self.now = (self.now + timedelta(days=1)).replace(hour=16, minute=50, second=0)
        while self.now.weekday() > 3:
            self.now += timedelta(days=1)
        self.air.clear()
        self.admin.execute("delete from ohmesh.release_hold")
        self.admin.execute("delete from ohmesh.release where at < %s", (self.now,))
        if pays or self.wallet_mu() < -30 or self.dice.random() < 0.6:
            wish = Payment("anna", max(1, 30 - self.wallet_mu()), f"day{self.now.isoformat()}")
            with db.tenant(self.api_connection, 1):
                db.run(self.api_connection, payments.pay(1, wish, self.now))
            self.settle()
            self.judge()
        if not pays and self.wallet_mu() > 30:
            with db.transaction(self.worker_connection):
                db.run(self.worker_connection, self.charge(self.wallet_mu() - 10))

    def supply(self):
        return supplying.supply_of(self.value("select kept::text from ohmesh.supply"))

    def wallet_mu(self):
        sql = "select credits_mu - debits_mu from ohmesh.account_balance where book = 'wallet'"
        return self.value(f"select coalesce(({sql}), 0)")

    def open_commands(self):
        sql = "select count(*) from ohmesh.command where state in ('queued', 'sent', 'in_field')"
        return self.value(sql) or self.supply().state in {
            State.CUT_PENDING,
            State.RECONNECT_PENDING,
        }

    def value(self, sql):
        return next(iter(self.admin.execute(sql).fetchone().values()))


async def _races(street, count):
    pools = {role: db.make_pool(street.store.urls[role]) for role in ("api", "worker", "gate")}
    pools["ingest"] = db.make_pool(street.store.urls["ingest"])
    for pool in pools.values():
        await pool.open()
    try:
        for _ in range(count):
            street.next_day()
            await street.race(pools)
            street.settle()
            street.judge()
        street.next_day(pays=True)
    finally:
        for pool in pools.values():
            await pool.close()


def _run(store, kit, count, seed):
    street = Street(store, kit, seed)
    street.ingest = store.connect("ingest")
    try:
        asyncio.run(_races(street, count))
    finally:
        street.admin.close()
    return street.seen + Counter(street.meter.executed)


def test_nobody_who_paid_is_left_in_the_dark(store, kit):
    seen = _run(store, kit, 20, seed=1)
    assert all(seen[what] for what in (CommandKind.RELAY_OFF, CommandKind.RELAY_ON, "off")), seen


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_races(store, kit, seed):
    seen = _run(store, kit, 1000, seed=100 + seed)
    assert min(seen[kind] for kind in (CommandKind.RELAY_OFF, CommandKind.RELAY_ON)) > 30
