"""Permission windows, over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from headend.prepayment.permission import (
    PermissionContext,
    may_disconnect,
    next_closed,
    next_open,
)
from headend.prepayment.rules import load_pack

PLACES = (
    ("gb-example", "Europe/London"),
    ("ie-example", "Europe/Dublin"),
    ("in-up-example", "Asia/Kolkata"),
    ("za-example", "Africa/Johannesburg"),
    ("fr-example", "Europe/Paris"),
    ("gb-example", "America/St_Johns"),
    ("gb-example", "Australia/Lord_Howe"),
)
places = st.sampled_from(PLACES)
instants = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(max_examples=200)
@given(places, instants)
def test_the_next_opening_is_the_first_open_minute(place, at):
    pack, zone = load_pack(place[0]), ZoneInfo(place[1])
    opening = next_open(pack, zone, at)
    assert opening is not None
    assert pack.closed(opening.astimezone(zone)) is None
    minute = opening - timedelta(minutes=1)
    steps = min(240, (opening - at) // timedelta(minutes=1))
    for _ in range(steps):  # four hours before it are enough to see a missed edge
        assert pack.closed(minute.astimezone(zone)) is not None
        minute -= timedelta(minutes=1)


@settings(max_examples=100)
@given(places, instants)
def test_a_window_is_open_until_it_closes(place, at):
    pack, zone = load_pack(place[0]), ZoneInfo(place[1])
    opening = next_open(pack, zone, at)
    closing = next_closed(pack, zone, opening)
    assert closing is not None
    assert closing > opening
    length = (closing - opening) // timedelta(minutes=10)
    for step in range(min(length, 100)):
        assert pack.closed((opening + timedelta(minutes=10 * step)).astimezone(zone)) is None


@settings(max_examples=150)
@given(places, instants, st.integers(0, 600), st.booleans())
def test_what_time_heals_is_healed_then(place, at, notice, grace):
    pack, zone = load_pack(place[0]), ZoneInfo(place[1])
    context = PermissionContext(
        zone,
        notice_minutes=notice,
        notice_at=at,
        grace_until=at + timedelta(days=3) if grace else None,
    )
    answer = may_disconnect(at, pack, context)
    assert answer.ok == (answer.reason is None)
    if not answer.ok:
        assert answer.next_permitted is not None
        assert answer.next_permitted > at
        assert may_disconnect(answer.next_permitted, pack, context).ok


@given(places, instants, st.frozensets(st.text(min_size=1), min_size=1))
def test_an_exempt_contract_is_never_permitted_and_a_strange_flag_protects(place, at, flags):
    pack, zone = load_pack(place[0]), ZoneInfo(place[1])
    assert not may_disconnect(at, pack, PermissionContext(zone, exempt=True)).ok
    strange = flags - {p.flag for p in pack.protected}
    if strange:
        assert not may_disconnect(at, pack, PermissionContext(zone, flags=flags)).ok
