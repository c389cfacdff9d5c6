"""A line that is slow, stalls, flips bits and breaks: all arrives, each number once."""

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

    def __init__(self, broker_port, delay_s, *, seed=1, bytes_per_s=BYTES_PER_S, flips=0.0):
        """Args: flips: share of segments in which a bit falls over."""
        self.broker_port, self.delay_s = broker_port, delay_s
        self.bytes_per_s, self.flips = bytes_per_s, flips
        self.chance = random.Random(seed)
        self.flipped = 0
        self.through = asyncio.Event()
        self.through.set()
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
                await asyncio.sleep(len(octets) / self.bytes_per_s + late * RETRANSMISSION_S)
                await self.through.wait()
                due = asyncio.get_running_loop().time() + self.delay_s
                queue.put_nowait((due, self._damaged(octets)))

    def _damaged(self, octets):
        if self.chance.random() >= self.flips:
            return octets
        self.flipped += 1
        place = self.chance.randrange(len(octets))
        bit = 1 << self.chance.randrange(8)
        return octets[:place] + bytes((octets[place] ^ bit,)) + octets[place + 1 :]


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


HALF_OPEN_S = 60


@pytest.mark.mosquitto
@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("seed", "half_open_s"), [*((seed, HALF_OPEN_S) for seed in range(30)), (30, 300)]
)
async def test_flipped_bits_resets_and_half_open_lines_lose_nothing(
    secure, gateway_process, bench, tmp_path, wait_until, seed, half_open_s
):
    """Over TLS, which finds each flipped bit; without it only TCP's own sum would."""
    secure.identity(tmp_path / "identity")
    chance = random.Random(seed)
    heard = secure.head_end()
    rows = await anext(heard)
    hearing = asyncio.create_task(_hear(heard), name="head-end")
    link = BadLink(secure.port, 0.05, seed=seed, bytes_per_s=20_000, flips=0.004)
    async with link:
        gateway = gateway_process(BROKER__URL=f"mqtts://127.0.0.1:{link.port}")
        client = await bench(gateway)
        for turn in range(6):
            for _ in range(10):
                await client.put()
            await asyncio.sleep(chance.random())
            if turn % 2:
                link.cut()
        link.through.clear()
        await asyncio.sleep(half_open_s)
        link.through.set()
        link.flips = 0.0
        assert await wait_until(lambda: len(rows) == 60, 240), len(rows)
        gateway.stop()
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await heard.aclose()
    assert sorted(seq for _, seq in rows) == list(range(60))
    assert set(rows.values()) == client.sent
    assert link.opened >= 2


async def _hear(heard):
    async for _ in heard:
        pass
