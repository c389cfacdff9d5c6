from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.boot_clock import RIGHT_FROM_MS, UNKNOWN_FROM_MS, BootClock
from gateway.outbox import Outbox, OutboxSettings
from gateway.sending import Sender, SendingLimits
from gateway.uplink import Uplink
from ohmesh.model.ids import GatewayId

NOW_MS = RIGHT_FROM_MS + 86_400_000


class Machine:
    """A Pi: up for some time, with a clock that may be wrong."""

    def __init__(self, *, boot="a", up_ms=0, utc_ms=0):
        self.up_ms, self.utc_ms = up_ms, utc_ms
        self.clock = BootClock(lambda: self.utc_ms, lambda: self.up_ms, boot)


def test_with_a_right_clock_nothing_is_touched(telegram):
    clock = Machine(utc_ms=NOW_MS).clock
    assert clock.stamped(telegram(1)) == telegram(1)
    assert clock.dated(telegram(1)) == telegram(1)


def test_a_telegram_of_this_boot_gets_its_exact_time_when_the_clock_is_right(telegram):
    machine = Machine(up_ms=5_000, utc_ms=5_000)
    kept = machine.clock.stamped(telegram(1))
    assert kept.received_at_ms >= UNKNOWN_FROM_MS
    assert machine.clock.dated(kept) is None
    machine.up_ms, machine.utc_ms = 65_000, NOW_MS
    assert machine.clock.dated(kept) == replace(telegram(1), received_at_ms=NOW_MS - 60_000)


def test_a_telegram_of_an_earlier_boot_gets_the_beginning_of_this_one(telegram):
    kept = Machine(boot="a", up_ms=5_000).clock.stamped(telegram(1))
    later = Machine(boot="b", up_ms=30_000, utc_ms=NOW_MS).clock
    assert later.dated(kept).received_at_ms == NOW_MS - 30_000


@pytest.mark.parametrize("up_ms", [0, 1, 2**36 - 1])
def test_every_stamp_fits_the_wire_and_comes_back(telegram, up_ms):
    machine = Machine(up_ms=up_ms)
    kept = machine.clock.stamped(telegram(1))
    assert UNKNOWN_FROM_MS <= kept.received_at_ms < 2**63
    machine.utc_ms = NOW_MS
    assert machine.clock.dated(kept).received_at_ms == NOW_MS


async def test_the_outbox_keeps_the_age_and_the_uplink_waits_for_the_clock(path, telegrams):
    machine = Machine(up_ms=1_000)
    settings = OutboxSettings(path, 2**23, 0)
    outbox = await Outbox.open(
        settings, clock_ms=lambda: machine.utc_ms, stamped=machine.clock.stamped
    )
    sender = Sender(SendingLimits())
    uplink = Uplink(GatewayId("gw1"), outbox, sender, dated=machine.clock.dated)
    try:
        waiting = outbox.append(telegrams(1, 2))
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0)
        await outbox._commit_group()
        await task
        rows = await outbox.batch(0, limit=9, max_bytes=999)
        assert uplink._datable(rows) == []
        machine.up_ms, machine.utc_ms = 4_000, NOW_MS
        assert [t.received_at_ms for t in uplink._datable(rows)] == [NOW_MS - 3_000] * 2
        summary_span = await outbox._in_file(lambda file: file.span())
        assert summary_span.newest_ms is None, "no rate is told from ages"
    finally:
        await outbox.close()
