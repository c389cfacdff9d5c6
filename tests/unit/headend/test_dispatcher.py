"""Which command goes first, how often, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headend.commands.dispatcher import RESULT_GRACE, Due, choose, has_expired, next_try, sent
from ohmesh.model.command import CommandKind, CommandState
from ohmesh.model.errors import CommandError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def due(number, *, meter=None, gateway=1, priority=1, waits_s=0, state=CommandState.QUEUED):
    meter = number if meter is None else meter
    return Due(
        id=UUID(int=number),
        meter_id=meter,
        meter=f"M{meter}",
        address=f"M{meter}",
        key_sealed=b"",
        gateway_id=gateway,
        gateway=f"gw{gateway}",
        kind=CommandKind.RELAY_OFF,
        argument=0,
        sequence=number,
        priority=priority,
        not_after=NOW + timedelta(seconds=10.9),
        attempts=0,
        state=state,
        next_try_at=NOW - SECOND * waits_s,
    )


def numbers(chosen):
    return [one.sequence for one in chosen]


def test_urgent_goes_first_then_the_longest_waiting():
    waiting = [due(1, waits_s=1), due(2, waits_s=9), due(3, priority=3), due(4, priority=2)]
    assert numbers(choose(waiting, {})) == [3, 4, 2, 1]


def test_permits_are_counted_per_gateway():
    waiting = [due(n, gateway=1 + n % 2) for n in range(1, 9)]
    chosen = choose(waiting, {1: 2}, permits=3)
    assert sorted(one.gateway_id for one in chosen) == [1, 2, 2, 2]
    assert choose(waiting, {1: 3, 2: 4}, permits=3) == []


def test_a_meter_gets_one_command_at_a_time_and_the_urgent_one():
    chosen = choose([due(1, meter=7, priority=2), due(2, meter=7, priority=3)], {})
    assert numbers(chosen) == [2]


def test_pauses_grow_are_jittered_and_capped():
    longest = [(next_try(NOW, n, 0.999999) - NOW).total_seconds() for n in range(1, 12)]
    assert longest == sorted(longest)
    assert longest[0] == pytest.approx(6, abs=0.01)
    assert longest[-1] == pytest.approx(62, abs=0.01)
    assert next_try(NOW, 10**6, 0.0) == NOW + 2 * SECOND


def test_the_deadline_on_the_wire_is_never_later_than_promised():
    assert due(1).not_after_s == int(NOW.timestamp()) + 10
    assert due(1).command().not_after_s == due(1).not_after_s


@pytest.mark.parametrize("state", [CommandState.SENT, CommandState.IN_FIELD])
def test_a_sent_command_waits_a_little_for_its_result(state):
    assert not has_expired(state, NOW, NOW + RESULT_GRACE - SECOND)
    assert has_expired(state, NOW, NOW + RESULT_GRACE)
    assert has_expired(CommandState.QUEUED, NOW, NOW)


def test_sending_follows_the_transition_table():
    assert sent(due(1)) is CommandState.SENT
    assert sent(due(1, state=CommandState.IN_FIELD)) is CommandState.SENT
    with pytest.raises(CommandError):
        sent(due(1, state=CommandState.DONE))
