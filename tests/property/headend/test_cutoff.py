"""The cut-off under any order of events, with a meter that answers late, twice or never."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from headend.prepayment import contract, cutoff
from headend.prepayment.contract import Policy, Supply
from headend.prepayment.outbox import Kind, Status
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import load_pack
from headend.prepayment.states import SUPPLIED, State
from ohmesh.model.command import RelayState
from ohmesh.model.errors import PrepaymentError

ON, OFF = RelayState.CONNECTED, RelayState.DISCONNECTED
START = datetime(2026, 3, 27, 9, tzinfo=UTC)  # the Friday before the clocks change
POLICY = Policy(
    "c1", load_pack("gb-example"), ZoneInfo("Europe/London"), low_mu=200, emergency_limit_mu=300
)


@dataclass
class World:
    """A contract, its meter and the air between them; commands may still execute much later."""

    supply: Supply = field(default_factory=lambda: Supply(actual=ON, data_at=START))
    wallet: int = 1000
    now: datetime = START
    relay: RelayState = ON
    on_air: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    breaker_open: bool = False

    def step(self, event):
        try:
            self.supply, _ = cutoff.apply(
                POLICY, self.supply, event, self.wallet, self.now, breaker_open=self.breaker_open
            )
        except PrepaymentError:
            return
        self.send()

    def send(self):
        before = {c.seq: c for c in self.supply.commands}
        self.supply = cutoff.send(
            POLICY, self.supply, self.wallet, self.now, breaker_open=self.breaker_open
        )
        for command in self.supply.commands:
            known = before.get(command.seq)
            if command.status is Status.SENT and (
                known is None or known.attempts != command.attempts
            ):
                self.check_sent(command)
                self.on_air.append(command)

    def check_sent(self, command):
        """No disconnection leaves out of fence, out of time, or without permission."""
        assert command.seq == self.supply.decision_seq
        on_air = [c for c in self.supply.commands if c.status is Status.SENT]
        assert len(on_air) == 1
        if command.kind is Kind.RECONNECT:
            assert command.not_after is None
            return
        assert self.now < command.not_after
        s = self.supply
        facts = PermissionContext(
            POLICY.zone, flags=s.flags, exempt=s.exempt, breaker_open=self.breaker_open
        )
        assert may_disconnect(self.now, POLICY.pack, facts).ok
        if s.hold is None:
            assert self.wallet <= 0
            assert s.notice_at is not None
            assert self.now - s.notice_at >= timedelta(minutes=POLICY.notice_minutes)
            assert self.now - s.data_at <= POLICY.stale_after

    def meter(self, choice):
        """One command on the air executes; its answer waits."""
        if self.on_air:
            command = self.on_air.pop(choice % len(self.on_air))
            self.relay = OFF if command.kind is Kind.DISCONNECT else ON
            self.answers.append((command.seq, self.relay))

    def answer(self, choice, *, keep):
        if self.answers:
            index = choice % len(self.answers)
            seq, relay = self.answers[index] if keep else self.answers.pop(index)
            self.step(contract.Ack(seq, relay))

    def timeout(self):
        for command in self.supply.commands:
            if command.status is Status.SENT:
                self.step(contract.Timeout(command.seq))


def use(world, number):
    world.wallet -= number
    world.step(contract.Reading(world.now, number))


def pay(world, number):
    world.wallet += number
    world.step(contract.ToppedUp())


def protect(world, number):
    flags = frozenset({"medical_dependency"}) if number % 3 == 0 else frozenset()
    world.step(contract.FlagsChanged(flags))


def switch_breaker(world, number):
    world.breaker_open = bool(number % 2)


DO = {
    "tick": lambda world, _: world.step(contract.Tick()),
    "notice": lambda world, _: world.step(contract.NoticeAccepted()),
    "link_up": lambda world, _: world.step(contract.LinkUp()),
    "emergency": lambda world, _: world.step(contract.EmergencyTaken()),
    "use": use,
    "pay": pay,
    "hold": lambda world, _: world.step(contract.HoldSet("tamper")),
    "release": lambda world, _: world.step(contract.HoldReleased("a", "b")),
    "protect": protect,
    "breaker": switch_breaker,
    "meter": World.meter,
    "answer": lambda world, number: world.answer(number, keep=bool(number % 2)),
    "read": lambda world, _: world.step(contract.RelayRead(world.relay)),
    "timeout": lambda world, _: world.timeout(),
}
COMMON = ("tick", "notice", "use", "use", "meter", "answer")


def do(world, action, number):
    world.now += timedelta(minutes=number % 200)
    DO[action](world, number)


def begin(*, cut):
    """A supplied customer, or one whose disconnection is on the air."""
    world = World()
    if cut:
        world.now, world.wallet = START + timedelta(hours=2), -10
        world.step(contract.NoticeAccepted())
        world.now += timedelta(minutes=30)
        world.step(contract.Tick())
        assert world.supply.state is State.CUT_PENDING
    return world


steps = st.lists(st.tuples(st.sampled_from((*DO, *COMMON)), st.integers(0, 1500)), max_size=50)


def check_state(world):
    s = world.supply
    if s.state in SUPPLIED or s.state in {State.RECONNECT_PENDING, State.ARMED}:
        assert s.desired_on
    else:
        assert not s.desired_on
    if s.hold is not None:
        assert s.state is State.HOLD


@settings(max_examples=300)
@given(steps, st.booleans())
def test_no_cut_without_right_and_paid_supply_comes_back(history, cut):
    world = begin(cut=cut)
    for action, number in history:
        do(world, action, number)
        check_state(world)
    heal(world)
    assert world.relay is ON
    assert world.supply.state in {State.ACTIVE, State.LOW}


def heal(world):
    """The customer pays, holds end, the link is fair: everything on the air arrives."""
    world.wallet = 10_000
    world.breaker_open = False
    world.step(contract.HoldReleased("a", "b"))
    world.step(contract.ToppedUp())
    for _ in range(6):
        world.now += timedelta(hours=2)
        while world.on_air:
            world.meter(0)
        while world.answers:
            world.answer(0, keep=False)
        world.step(contract.LinkUp())
        world.step(contract.RelayRead(world.relay))
        world.step(contract.RelayRead(world.relay))


@settings(max_examples=100)
@given(steps, st.booleans())
def test_whoever_is_exhausted_noticed_and_unprotected_is_cut_in_the_end(history, cut):
    world = begin(cut=cut)
    for action, number in history:
        do(world, action, number)
    heal(world)
    world.wallet, day = -1000, world.now + timedelta(days=8)
    world.now = day.replace(hour=11, minute=30) - timedelta(days=day.weekday() % 7)
    world.step(contract.FlagsChanged(frozenset()))
    for _ in range(40):
        world.now += timedelta(minutes=45)
        world.step(contract.Reading(world.now, 1))
        world.step(contract.NoticeAccepted())
        world.meter(0)
        world.answer(0, keep=False)
        if world.relay is OFF:
            break
    assert world.relay is OFF
    assert world.supply.state is State.OFF
