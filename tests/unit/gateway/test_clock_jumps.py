"""Clocks that jump by hours both ways, a leap day, summer time: no row is hurt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.boot_clock import BootClock

HOUR_MS = 3_600_000
KEEP_MS = 72 * HOUR_MS
NOW_MS = 1_790_000_000_000
JUMPS_H = (0, 5, -3, 26, -50, 1, -1, 400, -400, 0)


def test_no_jump_frees_what_was_not_acknowledged_or_stops_freeing_for_good(opened, telegram):
    file = opened()
    now_ms = NOW_MS
    for turn, jump_h in enumerate(JUMPS_H):
        now_ms += jump_h * HOUR_MS
        file.append([[telegram(10 * turn + n) for n in range(10)]])
        file.acknowledge(file.state.epoch, 10 * turn + 5, now_ms=now_ms)
        file.free(acknowledged_before_ms=now_ms - KEEP_MS)
        waiting = file.batch(file.state.acked_through, limit=100, max_bytes=10**6)
        assert waiting == [telegram(10 * turn + n) for n in range(5, 10)]
        assert file.state.next_seq == 10 * (turn + 1)
    file.free(acknowledged_before_ms=max(NOW_MS, now_ms) + 401 * HOUR_MS)
    assert file.state.first_seq == file.state.acked_through


def test_a_jump_back_keeps_rows_for_their_time_at_least(opened, telegram):
    file = opened()
    file.append([[telegram(n) for n in range(20)]])
    file.acknowledge(file.state.epoch, 10, now_ms=NOW_MS)
    file.acknowledge(file.state.epoch, 20, now_ms=NOW_MS - 5 * HOUR_MS)
    file.free(acknowledged_before_ms=NOW_MS - 6 * HOUR_MS)
    assert file.state.first_seq == 0


@pytest.mark.parametrize("jump_h", [-5, 5, 24 * 365])
def test_what_was_stamped_by_its_age_is_not_moved_by_a_later_jump(telegram, jump_h):
    """Once the clock is right a time is a time; while it is wrong an age follows the clock."""
    believed = {"utc": 1_000_000, "up": 5_000}
    clock = BootClock(lambda: believed["utc"], lambda: believed["up"], "boot")
    kept = clock.stamped(telegram(1))
    assert clock.dated(kept) is None
    believed.update(utc=NOW_MS, up=65_000)
    assert clock.dated(kept).received_at_ms == NOW_MS - 60_000
    believed["utc"] += jump_h * HOUR_MS
    assert clock.dated(kept).received_at_ms == NOW_MS - 60_000 + jump_h * HOUR_MS
    dated = clock.stamped(telegram(2))
    believed["utc"] -= 2 * jump_h * HOUR_MS
    assert clock.dated(dated) == dated


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
        ("Asia/Seoul", datetime(2028, 2, 29, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
    ],
)
def test_a_day_of_quarters_is_a_day_of_quarters_wherever_the_box_stands(
    opened, telegram, monkeypatch, zone, day
):
    """Every quarter once, in order: the zone of the machine is nowhere in what is kept."""
    monkeypatch.setenv("TZ", zone)
    file, rows = opened(), []
    for quarter in range(96):
        at = (day + timedelta(minutes=15 * quarter)).astimezone(ZoneInfo(zone))
        clock = BootClock(lambda at=at: int(at.timestamp() * 1000), lambda: 1, "boot")
        row = clock.stamped(telegram(int(at.timestamp())))
        assert clock.dated(row) == row
        rows.append(row)
        file.append([[row]])
    assert file.batch(0, limit=100, max_bytes=10**6) == rows
