"""A gateway that is alone for a week, and then has it all carried away (G5).

A thousand meters, each every quarter of an hour, are 672 000 telegrams. They are committed as fast
as the disk takes them, with the stamps of that week; the gateway that drains them is the real one.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from gateway.outbox import Outbox, OutboxSettings
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind

START_MS = 1_772_150_400_000  # 2026-02-27: the week holds the end of a February
QUARTER_MS = 15 * 60_000
QUARTERS = 7 * 96
REPORT_BYTES = 120
MAX_BYTES = 512 * 2**20
RSS_MAX_MIB = 80
SPEED_MIN = 20
"""How many times as fast as real time the week has to drain."""


def report(quarter, meter):
    payload = bytearray(random.Random(quarter * 10_000 + meter).randbytes(REPORT_BYTES))
    payload[0] = 0x0F  # of no kind that goes ahead
    at_ms = START_MS + (quarter + 1) * QUARTER_MS
    return Telegram(
        TelegramKind.METER, "mesh", Address(f"mesh-{meter:08x}"), "", at_ms, bytes(payload)
    )


async def fill(path, meters):
    """A week of reports, a quarter of an hour in one commit as the mesh would bring it."""
    now_ms = START_MS
    settings = OutboxSettings(path, MAX_BYTES, keep_ms=72 * 3_600_000, boot=_boot())
    outbox = await Outbox.open(settings, clock_ms=lambda: now_ms)
    task = asyncio.create_task(outbox.run(), name="outbox")
    try:
        for quarter in range(QUARTERS):
            now_ms = START_MS + (quarter + 1) * QUARTER_MS
            await outbox.append([report(quarter, meter) for meter in range(meters)])
        state = outbox.state
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()
    return state


def _boot():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def peak_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.parametrize(
    "meters", [10, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])]
)
async def test_a_week_alone_is_carried_away_whole(
    head_end, gateway_process, tmp_path, wait_until, meters
):
    state = await fill(tmp_path / "outbox.db", meters)
    total = meters * QUARTERS
    assert (state.backlog, state.first_seq) == (total, 0)
    assert state.used_bytes <= MAX_BYTES
    began = time.monotonic()
    gateway = gateway_process(OUTBOX__MAX_BYTES=str(MAX_BYTES))
    assert await wait_until(lambda: len(head_end.rows) >= total, 900)
    drained_s = time.monotonic() - began
    peak = peak_mib(gateway.process)
    gateway.stop()
    assert set(head_end.ends) == {state.epoch}
    assert head_end.ends[state.epoch] == total
    assert head_end.conflicts == []
    expected = (report(quarter, meter) for quarter in range(QUARTERS) for meter in range(meters))
    wrong = [
        seq for seq, want in enumerate(expected) if head_end.rows.pop((state.epoch, seq)) != want
    ]
    assert wrong == []
    assert head_end.rows == {}
    assert peak <= RSS_MAX_MIB
    assert drained_s * SPEED_MIN <= QUARTERS * QUARTER_MS / 1000


async def test_at_the_bound_the_newest_is_refused_and_the_oldest_stays(tmp_path):
    """Never drop-oldest: what was promised is kept, and who is refused keeps its own."""
    settings = OutboxSettings(tmp_path / "outbox.db", 2**20, keep_ms=0)
    outbox = await Outbox.open(settings, clock_ms=lambda: START_MS)
    task = asyncio.create_task(outbox.run(), name="outbox")
    taken = 0
    try:
        for quarter in range(QUARTERS):
            results = await asyncio.gather(
                *(outbox.append([report(quarter, meter)]) for meter in range(40)),
                return_exceptions=True,
            )
            taken += sum(not isinstance(result, BaseException) for result in results)
            if any(isinstance(result, BaseException) for result in results):
                break
        rows = await outbox.batch(0, limit=100_000, max_bytes=2**30)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()
    assert len(rows) == taken > 1000
    assert rows[0] == report(0, 0)
