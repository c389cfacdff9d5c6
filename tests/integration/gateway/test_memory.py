"""Two hours of work: what the gateway holds in memory is the same at the end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

RSS_MAX_MIB = 80
GROWTH_MAX_MIB = 2
PER_S = 40


def rss_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("hours", [2])
async def test_memory_is_flat(head_end, gateway_process, bench, broker, wait_until, hours):
    """A quarter of the time to settle; the broker is away for a tenth of each ten minutes."""
    gateway = gateway_process(OUTBOX__MAX_BYTES=str(16 * 2**20), OUTBOX__KEEP_HOURS="1")
    client = await bench(gateway)
    seconds = int(hours * 3600)
    began, settled = time.monotonic(), None
    for second in range(seconds):
        if second % 600 == 540:
            broker.stop()
        if second % 600 == 599:
            broker.start()
        for _ in range(PER_S):
            await client.put()
        if second == seconds // 4:
            settled = rss_mib(gateway.process)
        await asyncio.sleep(max(0, began + second - time.monotonic()))
    assert await wait_until(lambda: len(head_end.rows) == seconds * PER_S, 300)
    at_the_end = rss_mib(gateway.process)
    assert set(head_end.payloads()) == client.sent
    assert head_end.conflicts == []
    assert at_the_end <= RSS_MAX_MIB
    assert at_the_end <= settled + GROWTH_MAX_MIB
