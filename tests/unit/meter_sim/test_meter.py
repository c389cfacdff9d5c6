"""The simulated meter: it counts, closes intervals, obeys once, seals with ever new counters."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from firmware_profiles import registry
from meter_sim.household import Household
from meter_sim.meter import Priority
from meter_sim.orders import RESULTS_MAX
from meter_sim.testing import START_MS, Desk
from ohmesh.mesh import MAX_PAYLOAD_BYTES
from ohmesh.model.command import CommandEvent, CommandKind, RelayState, ResultStatus, outcome
from ohmesh.model.errors import BadChecksum, Malformed, WireError
from ohmesh.wire.sealed import SealedKind, seal

HOUR_MS = 3_600_000
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
OFF, ON, READ = CommandKind.RELAY_OFF, CommandKind.RELAY_ON, CommandKind.READ_NOW


@pytest.fixture
def desk():
    return Desk.of()


def values(messages, channel="el.energy.import"):
    return [r.value for m in messages for r in m.readings if r.register.channel == channel]


@pytest.mark.parametrize("profile", ["nl_dsmr", "no_han"])
def test_each_interval_gives_one_sealed_report_that_decodes_to_its_readings(profile):
    desk = Desk.of(profile, Household(seed=9, mean_w=500, roof_w=6000, first_wh=10**9))
    messages = desk.meter.advance(START_MS + 24 * HOUR_MS)
    assert len(messages) == 96
    spec = registry.load(profile).spec
    for number, message in enumerate(messages, 1):
        end = MIDNIGHT + timedelta(minutes=15 * number)
        opened = desk.open(message)
        assert opened.kind is SealedKind.REPORT
        assert message.priority is Priority.REPORT
        assert len(message.payload) <= MAX_PAYLOAD_BYTES
        decoded = registry.load(profile).decode(opened.body)
        said = {
            r.register: r.value for r in decoded.readings if r.register.channel in spec.reported
        }
        assert said == {r.register: r.value for r in message.readings}
        assert {r.time for r in message.readings} == {end}
        assert (decoded.time or decoded.readings[0].time) == end
    exported = values(messages, "el.energy.export")
    assert exported[-1] > exported[0]


def test_a_day_of_energy_is_the_sum_of_the_households_power(desk):
    messages = desk.meter.advance(START_MS + 24 * HOUR_MS)
    household = desk.meter.config.household
    slots = range(START_MS // 900_000, START_MS // 900_000 + 96)
    drawn_ws = sum(household.net_w(slot) * 900 for slot in slots)
    assert values(messages)[-1] == household.first_wh + drawn_ws // 3600
    assert values(messages) == sorted(values(messages))


def test_how_often_the_meter_is_asked_does_not_change_what_it_counts():
    often, once = Desk.of(), Desk.of()
    pieces = []
    for now_ms in range(START_MS, START_MS + 6 * HOUR_MS + 1, 77_000):
        pieces += often.meter.advance(now_ms)
    pieces += often.meter.advance(START_MS + 6 * HOUR_MS)
    assert values(pieces) == values(once.meter.advance(START_MS + 6 * HOUR_MS))


def test_a_disconnected_household_draws_and_feeds_nothing():
    desk = Desk.of(household=Household(seed=1, mean_w=300, roof_w=5000, first_wh=0))
    noon_ms = START_MS + 12 * HOUR_MS
    desk.meter.advance(noon_ms)
    result = desk.answer(desk.sealed(OFF), now_ms=noon_ms)
    assert result.relay is RelayState.DISCONNECTED
    dark = desk.meter.advance(noon_ms + 2 * HOUR_MS)
    assert len(dark) == 8
    assert len(set(values(dark))) == 1
    assert len(set(values(dark, "el.energy.export"))) == 1
    desk.answer(desk.sealed(ON, sequence=2), now_ms=noon_ms + 2 * HOUR_MS)
    light = desk.meter.advance(noon_ms + 12 * HOUR_MS)
    assert values(light)[-1] > values(dark)[-1]


def test_a_cut_in_the_middle_of_an_interval_stops_the_count_there(desk):
    whole = values(Desk.of().meter.advance(START_MS + 900_000))[0]
    desk.answer(desk.sealed(OFF), now_ms=START_MS + 450_000)
    half = values(desk.meter.advance(START_MS + 900_000))[0]
    assert half - 1_000_000 == (whole - 1_000_000) // 2


def test_a_relay_command_is_answered_with_the_state_read_back(desk):
    for sequence, (kind, state) in enumerate(
        [(OFF, RelayState.DISCONNECTED), (ON, RelayState.CONNECTED)], 1
    ):
        result = desk.answer(desk.sealed(kind, sequence=sequence))
        assert (result.status, result.relay) == (ResultStatus.OK, state)
        assert outcome(kind, result) is CommandEvent.SUCCEED
        assert desk.meter.relay is state


def test_a_repeated_id_repeats_its_result_and_does_nothing(desk):
    ident = secrets.token_bytes(16)
    first = desk.answer(desk.sealed(OFF, ident=ident))
    desk.answer(desk.sealed(ON, sequence=2))
    again = desk.answer(desk.sealed(OFF, ident=ident), now_ms=START_MS + HOUR_MS)
    assert again == first
    assert desk.meter.relay is RelayState.CONNECTED


def test_the_very_same_bytes_again_are_harmless_too(desk):
    octets = desk.sealed(OFF)
    assert desk.answer(octets) == desk.answer(octets)


def test_an_older_command_that_comes_late_meets_the_fence(desk):
    late = desk.sealed(OFF, sequence=1)
    desk.answer(desk.sealed(ON, sequence=2))
    result = desk.answer(late)
    assert (result.status, result.relay) == (ResultStatus.STALE, RelayState.CONNECTED)
    assert outcome(OFF, result) is CommandEvent.FAIL


def test_the_deadline_is_reckoned_by_the_clock_and_not_by_the_calendar(desk):
    octets = desk.sealed(OFF, not_after_s=1000)
    on_time = desk.answer(octets, now_ms=START_MS, clock_s=1000)
    assert on_time.status is ResultStatus.OK
    late = desk.answer(desk.sealed(ON, sequence=2, not_after_s=1000), clock_s=1001)
    assert (late.status, late.relay) == (ResultStatus.EXPIRED, RelayState.DISCONNECTED)
    assert outcome(ON, late) is CommandEvent.EXPIRE


def test_an_expired_command_stays_expired_when_the_clock_goes_back(desk):
    octets = desk.sealed(OFF, not_after_s=1000)
    desk.answer(octets, clock_s=1001)
    assert desk.answer(octets, clock_s=999).status is ResultStatus.EXPIRED
    assert desk.meter.relay is RelayState.CONNECTED


def test_a_forgotten_id_still_cannot_move_the_relay(desk):
    first = desk.sealed(OFF, sequence=1)
    desk.answer(first)
    for number in range(RESULTS_MAX):
        desk.answer(desk.sealed(ON, sequence=2 + number))
    assert desk.answer(first).status is ResultStatus.STALE
    assert desk.meter.relay is RelayState.CONNECTED


def test_reading_the_relay_changes_nothing_and_needs_no_fence(desk):
    desk.answer(desk.sealed(OFF, sequence=9))
    result = desk.answer(desk.sealed(CommandKind.RELAY_READ, sequence=1))
    assert (result.status, result.relay) == (ResultStatus.OK, RelayState.DISCONNECTED)


def test_a_reading_on_demand_is_the_registers_at_that_second(desk):
    now_ms = START_MS + 100_400
    messages = desk.meter.execute(desk.sealed(READ), now_ms, 0)
    report, result = map(desk.open, messages)
    assert (report.kind, result.kind) == (SealedKind.REPORT, SealedKind.RESULT)
    assert {r.time for r in messages[0].readings} == {MIDNIGHT + timedelta(seconds=100)}
    again = desk.meter.execute(desk.sealed(READ), now_ms + 100, 0)
    assert again[0].readings == ()  # the same second: nothing new, but answered all the same
    assert desk.open(again[0]).body == report.body
    assert (desk.meter.reports, desk.meter.readings) == (1, 2)


def test_a_command_closes_the_intervals_that_ended_before_it(desk):
    messages = desk.meter.execute(desk.sealed(OFF), START_MS + HOUR_MS, 0)
    kinds = [desk.open(message).kind for message in messages]
    assert kinds == [SealedKind.REPORT] * 4 + [SealedKind.RESULT]
    assert messages[-1].priority is Priority.RESULT


@pytest.mark.parametrize(
    "kind", [SealedKind.REPORT, SealedKind.RESULT, SealedKind.EVENT], ids=lambda kind: kind.name
)
def test_only_commands_come_down(desk, kind):
    config = desk.meter.config
    octets = seal(config.key, config.address, kind, 1, bytes(33))
    with pytest.raises(Malformed):
        desk.meter.execute(octets, START_MS, 0)


def test_a_command_for_another_meter_or_with_another_key_is_refused():
    desk, other = Desk.of(), Desk.of()
    before = desk.meter.snapshot()
    with pytest.raises(BadChecksum):
        desk.meter.execute(other.sealed(OFF), START_MS + HOUR_MS, 0)
    assert desk.meter.snapshot() == before


def test_of_ten_thousand_altered_commands_none_is_executed(desk):
    """C4: what a broker or gateway alters, cuts short, mixes or keeps too long moves no relay."""
    dice = random.Random(4)
    own, other = desk.sealed(OFF), Desk.of().sealed(OFF)
    for _ in range(10_000):
        mutant = bytearray(dice.choice([own, other]))
        for _ in range(dice.randint(1, 3)):
            match dice.randrange(4):
                case 0:
                    mutant[dice.randrange(len(mutant))] ^= 1 << dice.randrange(8)
                case 1:
                    at = dice.randrange(len(mutant))
                    mutant[at:at] = dice.randbytes(1)
                case 2:
                    del mutant[dice.randrange(len(mutant)) + 1 :]
                case _:
                    cut = dice.randrange(len(mutant))
                    mutant[cut:] = other[cut:]
        if bytes(mutant) == own:
            continue
        with pytest.raises(WireError):
            desk.meter.execute(bytes(mutant), START_MS, 0)
    assert desk.meter.relay is RelayState.CONNECTED
    assert desk.answer(own).relay is RelayState.DISCONNECTED, "unaltered it is obeyed"


@pytest.mark.parametrize("octets", [b"", b"\x13", bytes(60), b"\xff" * 200])
def test_garbage_changes_nothing(desk, octets):
    before = desk.meter.snapshot()
    with pytest.raises(WireError):
        desk.meter.execute(octets, START_MS + HOUR_MS, 0)
    assert desk.meter.snapshot() == before


def test_after_a_reboot_counters_go_on_and_results_are_remembered(desk):
    ident = secrets.token_bytes(16)
    first = desk.answer(desk.sealed(OFF, ident=ident))
    reports = desk.meter.advance(START_MS + HOUR_MS)
    for report in reports:
        desk.open(report)
    desk.reboot()
    assert desk.answer(desk.sealed(OFF, ident=ident), now_ms=START_MS + HOUR_MS) == first
    assert desk.meter.relay is RelayState.DISCONNECTED
    assert desk.meter.advance(START_MS + HOUR_MS) == []
    assert desk.meter.reports == 4
    assert len(desk.seen_counters) == 6


def test_an_outage_of_the_meter_leaves_a_gap_and_no_energy(desk):
    before = desk.meter.advance(START_MS + HOUR_MS)
    desk.meter.power_up(START_MS + 3 * HOUR_MS + 60_000)
    after = desk.meter.advance(START_MS + 4 * HOUR_MS)
    assert [r.time for m in after for r in m.readings][::2] == [
        MIDNIGHT + timedelta(hours=3, minutes=15 * n) for n in range(1, 5)
    ]
    assert values(after)[0] - values(before)[-1] < 300
