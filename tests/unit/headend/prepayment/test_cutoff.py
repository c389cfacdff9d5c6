"""The cut-off state machine beyond the shared scenarios."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from headend.prepayment import contract, cutoff, outbox
from headend.prepayment.contract import EffectKind, Policy, Supply
from headend.prepayment.outbox import Kind, Status
from headend.prepayment.rules import load_pack
from headend.prepayment.skew import SkewVerdict, judge
from headend.prepayment.states import TRANSITIONS, State, document
from ohmesh.model.command import RelayState
from ohmesh.model.errors import PrepaymentError

ON, OFF, READY = (
    RelayState.CONNECTED,
    RelayState.DISCONNECTED,
    RelayState.READY_FOR_RECONNECTION,
)
NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONDON = ZoneInfo("Europe/London")
POLICY = Policy("c1", load_pack("gb-example"), LONDON, low_mu=200, emergency_limit_mu=500)


class Contract:
    """A contract on virtual time."""

    def __init__(self, policy=POLICY, wallet=1000, **supply):
        self.policy, self.wallet, self.now = policy, wallet, NOON
        self.supply = Supply(actual=ON, data_at=NOON, **supply)
        self.effects = ()

    def do(self, event, *, wallet=None, after=timedelta(0), send=True, breaker_open=False):
        self.now += after
        self.wallet = self.wallet if wallet is None else wallet
        self.supply, self.effects = cutoff.apply(
            self.policy, self.supply, event, self.wallet, self.now, breaker_open=breaker_open
        )
        if send:
            self.supply = cutoff.send(self.policy, self.supply, self.wallet, self.now)
        return self

    def exhaust(self):
        """Exhausted, noticed, and cut."""
        self.do(contract.Tick(), wallet=-10).do(contract.NoticeAccepted())
        return self.do(contract.Tick(), after=30 * MINUTE)

    def names(self, kind):
        return [e.name for e in self.effects if e.kind is kind]

    @property
    def commands(self):
        return [(c.kind, c.seq, c.status) for c in self.supply.commands]


def test_the_page_of_the_state_machine_is_drawn_from_the_table():
    page = Path(__file__).parents[4] / "docs" / "prepayment" / "state-machine.md"
    assert page.read_text(encoding="utf-8") == document()


def test_every_state_can_be_reached_and_left():
    reached = {t.to for (state, _), t in TRANSITIONS.items() if t.to is not state}
    left = {state for (state, _), t in TRANSITIONS.items() if t.to is not state}
    assert reached == left == set(State)


def test_an_accepted_notice_and_open_hours_cut():
    c = Contract().exhaust()
    assert c.supply.state is State.CUT_PENDING
    assert c.commands == [(Kind.DISCONNECT, 1, Status.SENT)]
    assert c.supply.commands[0].not_after == NOON.replace(hour=18)


def test_no_cut_without_an_accepted_notice():
    c = Contract().do(contract.Tick(), wallet=-10)
    c.do(contract.Tick(), after=120 * MINUTE)
    assert (c.supply.state, c.supply.reason) == (State.PROTECTED, "notice")
    assert c.commands == []


def test_an_unconfirmed_cut_ends_with_its_window_and_a_late_execution_is_healed():
    c = Contract().exhaust()
    c.do(contract.Timeout(1), after=MINUTE)
    c.do(contract.Tick(), after=NOON.replace(hour=18) - c.now)
    assert (c.supply.state, c.supply.reason) == (State.PROTECTED, "evening")
    assert c.commands == [(Kind.DISCONNECT, 1, Status.EXPIRED)]
    assert c.supply.desired_on
    c.do(contract.Ack(1, OFF), after=MINUTE)
    assert c.supply.state is State.RECONNECT_PENDING
    assert c.commands[-1][0] is Kind.RECONNECT
    assert c.commands[-1][2] is Status.SENT


def test_permission_is_asked_again_when_the_command_is_sent():
    c = Contract().do(contract.Tick(), wallet=-10).do(contract.NoticeAccepted())
    c.do(contract.Tick(), after=30 * MINUTE, send=False)
    assert c.commands == [(Kind.DISCONNECT, 1, Status.QUEUED)]
    c.supply = cutoff.send(c.policy, c.supply, c.wallet, c.now, breaker_open=True)
    assert c.commands == [(Kind.DISCONNECT, 1, Status.EXPIRED)]
    c.do(contract.Tick(), breaker_open=True)
    assert (c.supply.state, c.supply.reason) == (State.PROTECTED, "breaker")


def test_a_cut_is_retried_with_growing_pauses_and_superseded_by_a_newer_decision():
    c = Contract().exhaust()
    pauses = []
    for _ in range(7):
        c.do(contract.Timeout(1), after=MINUTE, send=False)
        command = c.supply.commands[0]
        pauses.append((command.next_try - c.now).total_seconds())
        c.supply = replace(
            c.supply,
            commands=(replace(command, status=Status.SENT, attempts=command.attempts + 1),),
        )
    for pause, base in zip(pauses, (*outbox.RETRY_S, 3600), strict=True):
        assert 0.8 * base <= pause <= 1.2 * base
    assert outbox.send_due(
        outbox.timed_out(c.supply.commands, 1, c.now, "x"), 2, c.now + timedelta(hours=2),
        may_cut=True,
    )[0].status is Status.SUPERSEDED  # fmt: skip


def test_at_most_two_cuts_a_day():
    c = Contract()
    for number in range(2):
        c.exhaust()
        assert c.commands[-1] == (Kind.DISCONNECT, 2 * number + 1, Status.SENT)
        c.do(contract.Ack(2 * number + 1, OFF))
        c.do(contract.ToppedUp(), wallet=1000).do(contract.Ack(2 * number + 2, ON))
    c.exhaust()
    assert (c.supply.state, c.supply.reason) == (State.PROTECTED, "cut_limit")
    assert c.supply.next_eval_at == datetime(2026, 3, 12, 11, tzinfo=UTC)


def test_a_repeated_answer_changes_nothing():
    c = Contract().exhaust().do(contract.Ack(1, OFF))
    c.do(contract.ToppedUp(), wallet=1000).do(contract.Ack(2, ON))
    before = c.supply
    assert c.do(contract.Ack(1, OFF)).supply == before
    assert c.do(contract.Ack(99, OFF)).supply == before


def test_a_stuck_relay_is_retried_not_believed():
    c = Contract().exhaust().do(contract.Ack(1, ON))
    assert c.supply.state is State.CUT_PENDING
    assert c.commands == [(Kind.DISCONNECT, 1, Status.UNKNOWN)]
    assert "relay_stuck" in c.supply.alarms


def test_a_relay_that_is_off_without_a_command_is_read_twice_then_reconnected():
    c = Contract().do(contract.RelayRead(OFF))
    assert c.names(EffectKind.ACTION) == ["read_relay"]
    assert c.supply.state is State.ACTIVE
    c.do(contract.RelayRead(OFF))
    assert c.supply.state is State.RECONNECT_PENDING
    assert c.supply.alarms == ("relay_unexpected",)
    c.do(contract.Ack(1, ON))
    assert (c.supply.state, c.supply.alarms) == (State.ACTIVE, ())


def test_a_relay_that_is_on_though_cut_is_an_alarm_and_is_cut_once_more():
    c = Contract().exhaust().do(contract.Ack(1, OFF)).do(contract.RelayRead(ON))
    assert "relay_bypass" in c.supply.alarms
    assert c.supply.state is State.CUT_PENDING
    assert [s for k, _, s in c.commands if k is Kind.DISCONNECT] == [Status.CONFIRMED, Status.SENT]


def test_a_meter_that_wants_a_button_pressed_is_armed():
    c = Contract().exhaust().do(contract.Ack(1, OFF)).do(contract.ToppedUp(), wallet=1000)
    c.do(contract.Ack(2, READY))
    assert c.supply.state is State.ARMED
    assert c.do(contract.RelayRead(ON)).supply.state is State.ACTIVE


def test_emergency_credit_lowers_the_floor_once_until_it_is_paid_back():
    c = Contract().do(contract.Tick(), wallet=-10).do(contract.EmergencyTaken())
    assert c.supply.state is State.EMERGENCY
    with pytest.raises(PrepaymentError) as refused:
        c.do(contract.EmergencyTaken())
    assert refused.value.code == "emergency_active"
    c.do(contract.Tick(), wallet=-500)
    assert c.supply.state is State.PROTECTED
    c.do(contract.ToppedUp(), wallet=1)
    assert (c.supply.state, c.supply.ec_active) == (State.LOW, False)


def test_emergency_credit_restores_what_was_cut():
    c = Contract().exhaust().do(contract.Ack(1, OFF)).do(contract.EmergencyTaken())
    assert c.supply.state is State.RECONNECT_PENDING


def test_emergency_credit_begins_by_itself_where_that_was_agreed():
    c = Contract(replace(POLICY, emergency_auto=True)).do(contract.Tick(), wallet=0)
    assert c.supply.state is State.EMERGENCY
    with pytest.raises(PrepaymentError):
        Contract(replace(POLICY, emergency_limit_mu=0)).do(contract.EmergencyTaken())


def test_a_hold_cuts_within_the_hours_and_two_people_release_it():
    c = Contract().do(contract.HoldSet("tamper"))
    assert c.supply.state is State.HOLD
    assert c.commands == [(Kind.DISCONNECT, 1, Status.SENT)]
    c.do(contract.Ack(1, OFF))
    assert c.supply.state is State.HOLD
    with pytest.raises(PrepaymentError):
        c.do(contract.HoldReleased("a", "a"))
    c.do(contract.HoldReleased("a", "b"))
    assert c.supply.state is State.RECONNECT_PENDING


def test_a_hold_at_night_waits_for_the_hours():
    c = Contract()
    c.do(contract.HoldSet("tamper"), after=timedelta(hours=9))
    assert (c.supply.state, c.commands) == (State.HOLD, [])
    c.do(contract.Tick(), after=timedelta(hours=14))
    assert [k for k, _, _ in c.commands] == [Kind.DISCONNECT]


def test_a_released_hold_without_credit_stays_off_or_is_looked_at_anew():
    off = Contract(wallet=-10, state=State.HOLD, desired_on=False, hold="x")
    off.supply = replace(off.supply, actual=OFF)
    assert off.do(contract.HoldReleased("a", "b")).supply.state is State.OFF
    on = Contract(wallet=-10, state=State.HOLD, desired_on=False, hold="x")
    assert on.do(contract.HoldReleased("a", "b")).supply.state is State.PROTECTED


def test_a_protected_customer_is_never_cut():
    c = Contract().do(contract.FlagsChanged(frozenset({"medical_dependency"}))).exhaust()
    assert (c.supply.reason, c.commands) == ("vulnerable", [])
    c.do(contract.FlagsChanged(frozenset(), exempt=True))
    assert c.supply.reason == "exempt"
    c.do(contract.FlagsChanged(frozenset()))
    assert c.supply.state is State.CUT_PENDING


def test_stale_data_does_not_cut():
    c = Contract().do(contract.Tick(), wallet=-10).do(contract.NoticeAccepted())
    c.do(contract.Tick(), after=timedelta(hours=24, minutes=1))
    assert (c.supply.state, c.supply.reason) == (State.PROTECTED, "stale_data")
    assert c.supply.is_stale(c.now, POLICY.stale_after)


def test_a_policy_does_not_reconnect_below_its_own_floor():
    with pytest.raises(PrepaymentError):
        replace(POLICY, disablement_mu=1)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (60, SkewVerdict.ACCEPT),
        (-61, SkewVerdict.ACCEPT_BY_INDEX),
        (900, SkewVerdict.ACCEPT_BY_INDEX),
        (-901, SkewVerdict.QUARANTINE),
    ],
)
def test_clock_skew(seconds, verdict):
    assert judge(timedelta(seconds=seconds)) is verdict
