"""The supply reconciler with a field that loses, delays and repeats; then the field heals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from headend.prepayment.supply import CUT_LIFE, Facts, LastCommand, decide, pause
from ohmesh.model.command import FINAL, CommandKind, CommandState, RelayState

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_state = st.sampled_from(CommandState)
_relay = st.sampled_from(RelayState)


class World:
    """One account, its commands, and a meter with a fence; what is on the air may stay there."""

    def __init__(self):
        self.now = START
        self.wallet = 10
        self.charged = True
        self.desired = RelayState.CONNECTED
        self.actual = None
        self.relay = RelayState.CONNECTED
        self.fence = 0
        self.sequence = 0
        self.last = None
        self.air = []
        self.log = []

    def look(self):
        if self.last and self.last["state"] not in FINAL and self.now >= self.last["not_after"]:
            self.last |= {"state": CommandState.EXPIRED, "resolved_at": self.now}
        command = self.last and LastCommand(self.last["state"], self.last.get("resolved_at"))
        facts = Facts(self.wallet, self.charged, self.desired, self.actual, command)
        decision = decide(facts, self.now)
        if decision is None:
            return
        assert decision.kind is not CommandKind.RELAY_OFF or self.wallet <= 0
        assert decision.kind is not CommandKind.RELAY_ON or self.wallet > 0
        self.sequence += 1
        self.desired = decision.desired
        self.last = {
            "sequence": self.sequence,
            "kind": decision.kind,
            "state": CommandState.SENT,
            "not_after": decision.not_after,
        }
        self.air.append(dict(self.last))

    def deliver(self, index, *, answer=True):
        if not self.air:
            return
        command = self.air[index % len(self.air)]
        if command["sequence"] >= self.fence and self.now < command["not_after"]:
            self.fence = command["sequence"]
            on = command["kind"] is CommandKind.RELAY_ON
            self.relay = RelayState.CONNECTED if on else RelayState.DISCONNECTED
        if answer:
            self.hear(command)

    def hear(self, command):
        self.actual = self.relay
        if self.last["sequence"] == command["sequence"] and self.last["state"] not in FINAL:
            self.last |= {"state": CommandState.DONE, "resolved_at": self.now}

    def heal(self):
        """What was on the air is lost; from now on everything arrives and is answered."""
        self.air.clear()
        for _ in range(200):
            self.now += MINUTE
            self.look()
            if self.air:
                self.deliver(len(self.air) - 1)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wallet"), st.integers(-5, 5)),
        st.tuples(st.just("deliver"), st.integers(0, 20)),
        st.tuples(st.just("silent"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.integers(1, 200)),
        st.tuples(st.just("lose"), st.integers(0, 20)),
    ),
    max_size=50,
)


@given(steps, st.integers(-5, 5))
def test_supply_follows_the_wallet_once_the_field_works(steps, wallet):
    world = World()
    for what, number in steps:
        world.now += timedelta(seconds=1)
        if what == "wallet":
            world.wallet = number
        elif what in {"deliver", "silent"}:
            world.deliver(number, answer=what == "deliver")
        elif what == "wait":
            world.now += MINUTE * number
        elif world.air:
            del world.air[number % len(world.air)]
        world.look()
    world.wallet = wallet
    world.heal()
    on = world.relay is RelayState.CONNECTED
    assert on == (wallet > 0)
    assert world.actual in {world.relay, None}
    sequence = world.sequence
    world.heal()
    assert world.sequence == sequence, "nothing more is sent when all is as it should be"


@given(st.integers(-(10**9), 10**9), _relay | st.none(), _relay | st.none(), _state, st.booleans())
def test_no_cut_with_credit_and_none_without_a_charge(wallet, actual, desired, state, charged):
    wanted = desired if desired in {RelayState.CONNECTED, RelayState.DISCONNECTED} else None
    facts = Facts(
        wallet,
        charged,
        wanted or RelayState.CONNECTED,
        actual,
        LastCommand(state, START if state in FINAL else None),
    )
    decision = decide(facts, START + MINUTE)
    if decision and decision.kind is CommandKind.RELAY_OFF:
        assert wallet <= 0
        assert charged or facts.desired is RelayState.DISCONNECTED
        assert decision.not_after == START + MINUTE + CUT_LIFE
    if wallet > 0 and decision is not None:
        assert decision.kind is CommandKind.RELAY_ON


def test_a_relay_that_does_not_obey_is_asked_ever_less_often():
    pauses = [pause(tries) for tries in range(20)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(seconds=30), timedelta(hours=1))
    failed = LastCommand(CommandState.FAILED, START)
    off, on = RelayState.DISCONNECTED, RelayState.CONNECTED
    facts = Facts(5, charged=True, desired=on, actual=off, command=failed, tries=3)
    assert decide(facts, START + pauses[3] - timedelta(seconds=1)) is None
    assert decide(facts, START + pauses[3]).kind is CommandKind.RELAY_ON
