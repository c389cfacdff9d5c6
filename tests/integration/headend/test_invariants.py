"""The invariants of prepayment as one state machine over the real store, gate and dispatcher.

A small model says what must be so: what was paid, what was used, what two people or the clock
allow. Deliveries are dropped, doubled and delayed; the worker dies between any two statements.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from headend.gate.judging import Signer
from headend.gate.process import Gate
from headend.prepayment import engine, supplying
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import load_pack
from headend.prepayment.states import State
from headend.service import accounts, payments
from headend.service.accounts import add_tariff, open_account
from headend.service.payments import Payment
from headend.store import db
from headend.worker import Worker
from ohmesh.model.command import CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.errors import Conflict, PrepaymentError
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.metercommand import decode_command
from ohmesh.wire.release import open_release, public_key
from ohmesh.wire.sealed import SealedKind, unseal

START = datetime(2026, 3, 27, 11, tzinfo=UTC)  # two days before the clocks change in London
PRICE_MU = 30_000
PACK = "gb-example"
TERMS = {"pack": PACK, "notice_minutes": None, "emergency_limit_mu": 40_000}
ZONE = "Europe/London"
ON, OFF = RelayState.CONNECTED, RelayState.DISCONNECTED


class Crash(Exception):  # noqa: N818 - what it stands for
    """The process dies here."""


class Shop:
    """One database for all examples: each has a meter and an account of its own."""

    def __init__(self, store, kit):
        self.store, self.kit = store, kit
        self.store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=PRICE_MU))
        self.channel = store.rows(
            "insert into ohmesh.channel (name, obis, unit, scaler) values"
            " ('el.energy.import', '1-0:1.8.0', 'Wh', 0) returning id",
            "ingest",
        )[0]["id"]
        self.worker_connection = store.connect("worker")
        self.gate_connection = store.connect("gate")
        self.ingest_connection = store.connect("ingest")
        self.admin = db.connect(store.admin_url, name="test", autocommit=True)
        self.api_connection = store.connect("api")
        self.examples = 0
        self.executed = Counter()

    def ask(self, plan):
        """As the API does, on one connection for all examples."""
        with db.tenant(self.api_connection, 1):
            return db.run(self.api_connection, plan)

    def rows(self, sql, **params):
        return self.worker_connection.execute(sql, params).fetchall()

    def value(self, sql, **params):
        return next(iter(self.rows(sql, **params)[0].values()))


class Contract(RuleBasedStateMachine):
    """One contract, its meter, and everything that may go wrong between them."""

    shop: Shop

    @initialize()
    def open(self):
        shop = self.shop
        shop.examples += 1
        self.name = f"P{shop.examples}"
        shop.store.meter(self.name)
        self.now = START
        self.meter_id = shop.value("select max(id) from ohmesh.meter")
        shop.admin.execute(  # an area of its own: what others were sent is of another time
            "with point as (insert into ohmesh.service_point (tenant_id, name, zone, area)"
            " values (1, %(name)s, %(zone)s, %(name)s) returning id)"
            " update ohmesh.meter set service_point_id = point.id from point where name = %(name)s",
            {"name": self.name, "zone": ZONE},
        )
        gateway = shop.store.gateway(f"gw{shop.examples}")  # its permits are of its own time
        shop.admin.execute(
            "update ohmesh.meter_status set gateway_id = %s where meter_id = %s",
            (gateway, self.meter_id),
        )
        shop.admin.execute("delete from ohmesh.release_hold")
        shop.admin.execute("delete from ohmesh.release")  # limits are not what is tested here
        shop.admin.execute("update ohmesh.breaker set opened_at = null, closed_at = null")
        self.account = shop.ask(
            open_account(
                1,
                self.name,
                meter=self.name,
                tariff="flat",
                now=START,
                rated_from=START,
                terms=TERMS,
            )
        )
        self.slot, self.register = 0, 0
        self.registers = {START: 0}
        self.sent_readings = set()
        self.paid, self.reversed = {}, set()
        self.given_mu = 0
        self.relay, self.fence, self.results = ON, 0, {}
        self.air, self.answers = [], []
        self.counter = 0
        self.late_cut = None
        self.protected = False
        self.worker = Worker(
            url=shop.store.urls["worker"],
            keystore=shop.store.keystore,
            publish=lambda _, payload: not self.air.append(payload),
            now=lambda: self.now,
        )
        self.gate = Gate(
            url=shop.store.urls["gate"],
            signer=Signer(shop.kit.GATE_KEY, {}),
            now=lambda: self.now,
        )
        self.read([0])

    # -- what happens ---------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 16, 61, 240, 700]))
    def time_passes(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule(kwh=st.integers(0, 3))
    def energy_is_used(self, kwh):
        """The meter's register advances; the reading waits to be delivered."""
        self.now += timedelta(minutes=15)
        slots = int((self.now - START) / timedelta(minutes=15))
        self.slot = slots
        self.register += 1000 * kwh * (self.relay is ON)
        self.registers[START + timedelta(minutes=15) * slots] = self.register

    @rule(chance=st.floats(0, 1), twice=st.booleans())
    def readings_arrive(self, chance, twice):
        """Any of those that are out, in any order, perhaps twice."""
        dice = random.Random(chance)
        waiting = [at for at in self.registers if at not in self.sent_readings]
        dice.shuffle(waiting)
        self.read([int((at - START) / timedelta(minutes=15)) for at in waiting[:3]])
        if twice and waiting:
            self.read([int((waiting[0] - START) / timedelta(minutes=15))])

    def read(self, slots):
        for slot in slots:
            at = START + timedelta(minutes=15) * slot
            self.sent_readings.add(at)
            self.shop.ingest_connection.execute(
                "insert into bulk.reading (meter_id, channel, ts, value) values (%s, %s, %s, %s)"
                " on conflict do nothing",
                (self.meter_id, self.shop.channel, at, self.registers[at]),
            )
            self.shop.ingest_connection.execute(
                "insert into bulk.touched (meter_id, from_ts, to_ts) values (%s, %s, %s)",
                (self.meter_id, at, at),
            )

    @rule(amount=st.sampled_from([1, 30_000, 61_234, 90_000]), number=st.integers(1, 6))
    def pay(self, amount, number):
        """A payer's request, perhaps repeated, perhaps with another amount under the same key."""
        key = f"{self.name}-{number}"
        plan = payments.pay(1, Payment(self.name, amount, key), self.now)
        if key in self.paid and self.paid[key] != amount:
            with pytest.raises(Conflict):
                self.shop.ask(plan)
            return
        made = self.shop.ask(plan)
        assert made.replayed == (key in self.paid)
        self.paid[key] = amount

    @rule(number=st.integers(1, 6))
    def reverse(self, number):
        key = f"{self.name}-{number}"
        if key not in self.paid:
            return
        identity = payments._payment_id(1, key)
        self.shop.ask(
            payments.reverse_payment(1, identity, contract=self.name, reason="x", now=self.now)
        )
        self.reversed.add(key)

    @rule()
    def take_emergency_credit(self):
        with suppress(PrepaymentError):  # refused while it is not paid back
            self.shop.ask(accounts.take_emergency(1, self.name, self.now))

    @rule(flags=st.sampled_from([frozenset(), frozenset({"medical_dependency"})]))
    def protect(self, flags):
        self.protected = bool(flags)
        self.shop.ask(accounts.protect(1, self.name, flags=flags, exempt=False, now=self.now))

    # -- the head-end at work, and dying --------------------------------------------------------

    @rule()
    def work(self):
        self.worker.step(self.shop.worker_connection)
        self.gate.step(self.shop.gate_connection)
        before = len(self.air)
        self.worker.step(self.shop.worker_connection)
        self.check_sent(self.air[before:])

    @rule(after=st.integers(0, 25))
    def die_at_work(self, after):
        """Killed between two statements of a visit: nothing of it stays."""
        connection = self.shop.worker_connection
        with pytest.raises(Crash), connection.transaction():
            db.run(connection, _dying(engine.visit(self.account, self.now), after))

    def check_sent(self, payloads):
        """I9, I10, I14: what takes supply away is permitted now, and of the last decision."""
        supply = self.supply()
        for payload in payloads:
            command, opened = self.opened(payload)
            if command.kind is not CommandKind.RELAY_OFF:
                continue
            assert opened.kind is SealedKind.RELEASED
            release = open_release(
                [public_key(self.shop.kit.GATE_KEY)], self.name, decode_down(payload).release
            )
            assert release.not_after_s >= int(self.now.timestamp())
            policy = supplying.policy(self.name, *self.terms())
            context = PermissionContext(policy.zone, debt_mu=2**53)
            assert may_disconnect(self.now, load_pack(PACK), context).ok
            assert not self.protected
            assert not supply.desired_on
            assert command.not_after_s >= self.now.timestamp()

    # -- the field --------------------------------------------------------------------------------

    @rule(which=st.integers(0, 50), late=st.booleans(), answered=st.booleans())
    def the_meter_obeys(self, which, late, answered):
        """One message on the air arrives, old or new; its answer may be lost."""
        mine = [p for p in self.air if decode_down(p).meter == self.name]
        if not mine:
            return
        command, _ = self.opened(mine[which % len(mine)] if late else mine[-1])
        result = self.results.get(command.id) or self.execute(command)
        self.results[command.id] = result
        if answered:
            self.answer(result)

    def execute(self, command):
        status = ResultStatus.OK
        if self.now.timestamp() > command.not_after_s:
            status = ResultStatus.EXPIRED
        elif command.kind in {CommandKind.RELAY_ON, CommandKind.RELAY_OFF}:
            if command.sequence <= self.fence:
                status = ResultStatus.STALE
            else:
                self.fence = command.sequence
                self.relay = ON if command.kind is CommandKind.RELAY_ON else OFF
                self.shop.executed[command.kind] += 1
        return CommandResult(command.id, status, self.relay, int(self.now.timestamp()))

    def answer(self, result):
        """As ingest takes a result: the command ends, the relay is read back."""
        self.counter += 1
        connection = self.shop.ingest_connection
        ended = {ResultStatus.OK: "done", ResultStatus.EXPIRED: "expired"}
        with connection.transaction():
            connection.execute(
                "update ohmesh.command set state = %s, resolved_at = now(), result_status = %s,"
                " relay = %s where id = %s::uuid and state in ('sent', 'in_field')",
                (
                    ended.get(result.status, "failed"),
                    result.status.value,
                    result.relay.value,
                    result.id.hex(),
                ),
            )
            connection.execute(
                "update ohmesh.meter_status set relay = %s, relay_at = now(), relay_counter = %s"
                " where meter_id = %s",
                (self.relay.value, self.counter, self.meter_id),
            )

    def opened(self, payload):
        opened = unseal(self.shop.kit.KEY, self.name, decode_down(payload).payload)
        return decode_command(opened.body), opened

    # -- what must be so --------------------------------------------------------------------------

    def terms(self):
        row = self.shop.rows(
            "select terms::text as terms from ohmesh.account where id = %(a)s", a=self.account
        )[0]
        return row["terms"], ZONE

    def supply(self):
        kept = self.shop.value(
            "select kept::text from ohmesh.supply where account_id = %(a)s", a=self.account
        )
        return supplying.supply_of(kept)

    def wallet(self):
        return self.shop.value(
            "select coalesce(sum(credits_mu - debits_mu), 0) from ohmesh.account_balance"
            " where account_id = %(a)s and book = 'wallet'",
            a=self.account,
        )

    def expected_mu(self):
        """I4, I5, I6: payments less reversals, less the floor of what the registers say."""
        paid = sum(a for k, a in self.paid.items() if k not in self.reversed)
        newest = max((self.registers[at] for at in self.rated), default=0)
        return paid - newest * PRICE_MU // 1000

    @property
    def rated(self):
        to = self.shop.rows(
            "select rated_to from ohmesh.rating_state where account_id = %(a)s", a=self.account
        )[0]["rated_to"]
        return [at for at in self.sent_readings if to is not None and at <= to]

    @invariant()
    def the_ledger_adds_up(self):
        """I1, I2."""
        if not hasattr(self, "account"):
            return
        row = self.shop.rows(
            "select coalesce(sum(credits_mu - debits_mu), 0)::bigint as total,"
            " (select coalesce(sum(case when f.credit = 'wallet' then f.amount_mu"
            "  else -f.amount_mu end), 0)::bigint from ohmesh.transfer f"
            "  where f.account_id = %(a)s and 'wallet' in (f.debit, f.credit)) as folded"
            " from ohmesh.account_balance where account_id = %(a)s",
            a=self.account,
        )[0]
        assert row["total"] == 0
        assert row["folded"] == self.wallet()

    @invariant()
    def a_protected_or_funded_contract_has_no_open_cut(self):
        """I14, and I10: an open cut is of the last decision."""
        if not hasattr(self, "account"):
            return
        rows = self.shop.rows(
            "select c.decision_seq, s.decision_seq as decided from ohmesh.command c"
            " join ohmesh.supply s on s.account_id = c.account_id where c.account_id = %(a)s"
            " and c.kind = 1 and c.state in ('queued', 'sent', 'in_field')",
            a=self.account,
        )
        assert all(row["decision_seq"] == row["decided"] for row in rows)

    def teardown(self):
        if not hasattr(self, "account"):
            return
        self.settle()
        assert self.wallet() == self.expected_mu(), "I3, I7: any order, the same ledger"
        supply = self.supply()
        wallet = self.wallet()
        if wallet > 0:
            assert self.relay is ON, f"I11: nobody who has paid is in the dark ({supply})"
            assert supply.desired_on
        if not self.protected:
            self.energy_is_used(100)
            self.settle()
            assert self.relay is OFF, f"I12: {self.supply()}"
        everything = Payment(self.name, 10**7, f"{self.name}-last")
        self.shop.ask(payments.pay(1, everything, self.now))
        self.settle()
        assert self.relay is ON, f"I11: {self.supply()}"

    def settle(self):
        """Faults end: everything arrives, and a fair link carries what is sent."""
        self.read([int((at - START) / timedelta(minutes=15)) for at in self.registers])
        noon = self.now.replace(hour=13, minute=0, second=0) + timedelta(days=1)
        while not may_disconnect(noon, load_pack(PACK), _ordinary()).ok:
            noon += timedelta(days=1)
        self.now = noon
        fresh = START + timedelta(minutes=15) * int((self.now - START) / timedelta(minutes=15))
        self.registers[fresh] = self.register
        self.read([int((fresh - START) / timedelta(minutes=15))])
        for _ in range(12):
            with db.transaction(self.shop.worker_connection):
                db.run(self.shop.worker_connection, engine.visit(self.account, self.now))
            before = len(self.air)
            self.work()
            for payload in self.air[before:]:
                if decode_down(payload).meter != self.name:
                    continue
                command, _ = self.opened(payload)
                result = self.results.get(command.id) or self.execute(command)
                self.results[command.id] = result
                self.answer(result)
            self.now += timedelta(seconds=75)
        assert self.supply().state is not State.RECONNECT_PENDING


def _ordinary():
    return PermissionContext(supplying.policy("x", "{}", ZONE).zone, debt_mu=2**53)


def _dying(plan, after):
    """A plan whose process dies after so many statements, or at its end."""
    statement = next(plan)
    for _ in range(after):
        try:
            statement = plan.send((yield statement))
        except StopIteration:
            break
    raise Crash


@pytest.fixture
def shop(store, kit):
    made = Shop(store, kit)
    yield made
    made.admin.close()


def _run(shop, *, examples, steps):
    machine = type("ContractMachine", (Contract,), {"shop": shop})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.mark.timeout(900)
def test_the_invariants_hold(shop):
    _run(shop, examples=100, steps=50)
    assert min(shop.executed[kind] for kind in (CommandKind.RELAY_OFF, CommandKind.RELAY_ON)) > 3


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_invariants_hold_for_long(shop):
    _run(shop, examples=2000, steps=50)
