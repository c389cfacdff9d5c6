"""The definition and the causes, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headend.readsuccess.causes import Cause, Facts, Slot, Way, cause, misses
from headend.readsuccess.definition import local_day, running, slot_of, slots

BERLIN = ZoneInfo("Europe/Berlin")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("day", "count"), [(28, 96), (29, 92)])
def test_days_have_the_intervals_of_their_hours(day, count):
    span = local_day(date(2026, 3, day), BERLIN)
    found = slots(span, 900, LONG_AGO)
    assert len(found) == count
    assert found[0] * 900 == span.begin.timestamp() + 900
    assert found[-1] * 900 == span.end.timestamp()


def test_nothing_is_expected_before_a_meter_begins():
    span = local_day(date(2026, 3, 28), BERLIN)
    assert len(slots(span, 900, span.begin + timedelta(hours=1, minutes=1))) == 92
    assert len(slots(span, 900, span.end)) == 0
    assert len(slots(span, 900, span.end + timedelta(days=9))) == 0


def test_a_reading_on_the_boundary_closes_the_interval():
    end = datetime(2026, 3, 28, 10, tzinfo=UTC)
    number = slot_of(end, 900)
    assert number * 900 == end.timestamp()
    assert slot_of(end - timedelta(seconds=899), 900) == number
    assert slot_of(end + timedelta(microseconds=1), 900) == number + 1


def test_running_days_end_with_the_last():
    days = [date(2026, 3, d) for d in (1, 3, 4, 5)]
    assert running(days, date(2026, 3, 5)) == 3
    assert running(days, date(2026, 3, 6)) == 0
    assert running([], date(2026, 3, 6)) == 0


A, B = 1, 2
SLOT = Slot(A, 100)


def facts(**more):
    usual = {
        "heard": {7: {100}, 8: {100}},
        "missing": {SLOT},
        "ways": {SLOT: Way(7, 55, B)},
        "length_s": {A: 900, B: 900},
    }
    return Facts(**usual | more)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, Cause.METER),
        ({"missing": {SLOT, Slot(B, 100)}}, Cause.HOP),
        ({"missing": {SLOT, Slot(B, 101)}}, Cause.METER),
        ({"heard": {7: {99}, 8: {100}}}, Cause.GATEWAY),
        ({"heard": {7: {99}, 8: {101}}}, Cause.BROKER),
        ({"heard": {}}, Cause.BROKER),
        ({"heard": None}, Cause.METER),
        ({"heard": None, "missing": {SLOT, Slot(B, 100)}}, Cause.HOP),
        ({"ways": {SLOT: Way(None)}, "heard": {}}, Cause.METER),
        ({"archived": {SLOT}, "heard": {}}, Cause.INGEST),
        ({"rejected": {SLOT}, "archived": {SLOT}}, Cause.REJECTED),
        ({"quarantined": {SLOT}, "rejected": {SLOT}, "archived": {SLOT}}, Cause.QUARANTINE),
    ],
)
def test_the_first_cause_that_fits(more, expected):
    assert cause(SLOT, facts(**more)) is expected


def test_a_relay_with_longer_intervals_misses_the_one_that_holds_ours():
    hourly = {A: 900, B: 3600}
    assert cause(SLOT, facts(length_s=hourly, missing={SLOT, Slot(B, 25)})) is Cause.HOP
    assert cause(SLOT, facts(length_s=hourly, missing={SLOT, Slot(B, 26)})) is Cause.METER


def test_neighbours_with_one_cause_are_one_miss():
    missing = {Slot(A, n) for n in (100, 101, 102, 105)}
    found = misses(missing, facts(missing=missing, ways={}, archived={Slot(A, 101)}))
    assert [(m.first, m.last, m.cause) for m in found] == [
        (100, 100, Cause.METER),
        (101, 101, Cause.INGEST),
        (102, 102, Cause.METER),
        (105, 105, Cause.METER),
    ]
