"""A line of 9.6 kbit/s that delays, stalls and breaks: everything arrives, once each number."""

from __future__ import annotations

import asyncio
import random

import pytest

BYTES_PER_S = 9600 // 8
SEGMENT = 100
LOSS = 0.05
RETRANSMISSION_S = 1.0


class BadLink:
    """A TCP line: what is lost comes late and holds up what is behind it, as TCP has it."""

    def __init__(self, broker_port, delay_s):
        self.broker_port, self.delay_s = broker_port, delay_s
        self.chance = random.Random(1)
        self.connections = set()
        self.lost = self.opened = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()
        while self.connections:  # noqa: ASYNC110 - tasks that end by themselves
            await asyncio.sleep(0.01)

    def cut(self):
        for task in self.connections:
            task.cancel()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.connections.add(task)
        self.opened += 1
        there, up = await asyncio.open_connection("127.0.0.1", self.broker_port)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, up))
                ways.create_task(self._carry(there, writer))
        except* (OSError, EOFError):
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            self.connections.discard(task)
            for end in (up, writer):
                end.transport.abort()

    async def _carry(self, reader, writer):
        """One direction: segments leave at the line's speed and arrive after its delay."""
        queue = asyncio.Queue()

        async def arrive():
            loop = asyncio.get_running_loop()
            while True:
                due, octets = await queue.get()
                await asyncio.sleep(max(0, due - loop.time()))
                writer.write(octets)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(arrive())
            while True:
                octets = await reader.read(SEGMENT)
                if not octets:
                    raise EOFError
                late = self.chance.random() < LOSS
                self.lost += late
                await asyncio.sleep(len(octets) / BYTES_PER_S + late * RETRANSMISSION_S)
                due = asyncio.get_running_loop().time() + self.delay_s
                queue.put_nowait((due, octets))


@pytest.mark.parametrize(
    ("delay_s", "telegrams"),
    [(0.3, 60), pytest.param(2.0, 600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
async def test_a_slow_line_that_loses_and_breaks_brings_everything(
    head_end, gateway_process, bench, broker, wait_until, delay_s, telegrams
):
    async with BadLink(broker.port, delay_s) as link:
        gateway = gateway_process(
            BROKER__URL=f"mqtt://127.0.0.1:{link.port}", UPLINK__BATCH_TELEGRAMS="20"
        )
        client = await bench(gateway)
        for _ in range(telegrams // 2):
            await client.put()
        assert await wait_until(lambda: len(head_end.rows) > 0, 300)
        link.cut()
        for _ in range(telegrams - telegrams // 2):
            await client.put()
        assert await wait_until(lambda: len(head_end.rows) == telegrams, 600)
        assert link.opened >= 2
        gateway.stop()
    assert sorted(seq for _, seq in head_end.rows) == list(range(telegrams))
    assert head_end.conflicts == []
    assert set(head_end.payloads()) == client.sent
