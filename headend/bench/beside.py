"""What ordinary readers feel beside hostile questions, and beside a tenant above its share.

They ask at a steady rate, each question due at its instant; the others ask from a process of their
own, as fast as they are answered. The API has one process, as the database on the same machine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import contextmanager, nullcontext
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headend.bench.serving import answered, serving_by
from headend.bench.writes import drive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

SHARE_PER_S: Final = 100
"""Of a key; a tenant has four times that."""
READERS_PER_S: Final = 50
NOISE: Final = 4
"""Connections of the others."""
_ALWAYS: Final = "period_from=1950-01-01T00:00:00Z&period_to=2150-01-01T00:00:00Z"
_ODD: Final = quote("\u202e\ufdfa'; drop--{{7*7}}" * 20)
HOSTILE: Final = (
    f"/v1/meters/M000001/readings?page_size=10000&{_ALWAYS}",
    f"/v1/meters/M000002/intervals?page_size=10000&{_ALWAYS}",
    "/v1/usage/daily?first=2026-01-01&last=2026-01-31",
    f"/v1/meters?page_size=1000&prefix={_ODD[:60]}",
    f"/v1/events?page_size=1000&{_ALWAYS}",
    f"/v1/meters/{_ODD}",
)
_DEEP: Final = b"[" * 1_000_000


def beside(url: str, tokens: tuple[str, str, str], count: int) -> dict[str, float]:
    """The p99 of `count` ordinary reads alone, beside hostile questions, beside a flood.

    Args:
        url: of the API's role.
        tokens: of the ordinary readers; of a hostile one of their tenant; of another tenant, which
            asks for more than its share.
        count: reads for each figure.
    """
    ours, odd, theirs = tokens
    reads = [_get(f"/v1/meters/M{i % 90 + 1:06d}", ours) for i in range(count)]
    hostile = [*(_get(path, odd) for path in HOSTILE), _post("/v1/meters", odd, _DEEP)]
    with serving_by(url, 1, SHARE_PER_S) as (port, _):
        _p99_ms(port, reads)  # connections and caches, as in a running system
        return {
            "beside_nothing_p99_ms": _p99_ms(port, reads),
            "beside_hostile_p99_ms": _p99_ms(port, reads, _noise(port, hostile)),
            "beside_flood_p99_ms": _p99_ms(port, reads, _noise(port, [_get("/v1/me", theirs)])),
        }


def _p99_ms(
    port: int, reads: Sequence[bytes], noise: AbstractContextManager[None] | None = None
) -> float:
    with noise or nullcontext():
        _, taken_s = asyncio.run(drive(port, reads, READERS_PER_S, b"200"))
    return round(1000 * sorted(taken_s)[len(taken_s) * 99 // 100], 2)


@contextmanager
def _noise(port: int, requests: Sequence[bytes]) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_ask_on, args=(port, requests), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _ask_on(port: int, requests: Sequence[bytes]) -> None:
    async def caller(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in islice(cycle(requests), first, None):
            await answered(reader, writer, request, b"")

    async def all_of_them() -> None:
        await asyncio.gather(*map(caller, range(NOISE)))

    asyncio.run(all_of_them())


def _get(path: str, token: str) -> bytes:
    return f"GET {path} {_head(token)}\r\n".encode()


def _post(path: str, token: str, body: bytes) -> bytes:
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} {_head(token)}{kind}\r\n".encode() + body


def _head(token: str) -> str:
    return f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
