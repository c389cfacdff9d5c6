"""Writes over HTTP to the API in a process of its own: as fast as it answers, and at a given rate.

At a given rate a write has its instant whether the ones before it were answered or not, and its
time counts from that instant: a queue shows in the figures. Octets go and come without a client
library, which would cost more than the server that it asks.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from headend.bench.serving import answered, cpu_s, serving
from headend.security.secrets import digest
from headend.store import db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CALLERS: Final = 32
"""Connections at once."""
_KEY: Final = (
    "insert into ohmesh.api_key (tenant_id, name, digest, scopes, person)"
    " values (1, 'bench', %(digest)s, array['money:vend'], 'bench')"
)


def measure(
    urls: Mapping[str, str],
    writes: Callable[[int], tuple[str, dict[str, Any]]],
    count: int,
    per_s: int,
) -> dict[str, Any]:
    """`count` writes as fast as they are answered, then as many at `per_s` a second.

    Args:
        urls: of the database, by role.
        writes: number -> path and body; a number is its Idempotency-Key.
        count: of each phase.
        per_s: offered.

    Returns: `max_per_s`, and `cpu_ms` of the API's process a write then, which tells more on a
        busy machine; `p50_ms` and `p99_ms` at `per_s`.
    """
    token = secrets.token_urlsafe(32)
    with db.connect(urls["owner"], name="bench", autocommit=True) as owner:
        owner.execute(_KEY, {"digest": digest(token)})
    requests = [_request(token, number, *writes(number)) for number in range(2 * count + CALLERS)]
    warm, fast, paced = requests[:CALLERS], requests[CALLERS:-count], requests[-count:]
    with serving(urls["api"]) as (port, pid):
        asyncio.run(drive(port, warm, None))
        begun_s = cpu_s(pid)
        fast_s, _ = asyncio.run(drive(port, fast, None))
        computed_s = cpu_s(pid) - begun_s
        _, taken_s = asyncio.run(drive(port, paced, per_s))
    taken_s.sort()
    return {
        "max_per_s": int(count / fast_s),
        "cpu_ms": round(1000 * computed_s / count, 2),
        "p50_ms": round(1000 * taken_s[count // 2], 2),
        "p99_ms": round(1000 * taken_s[count * 99 // 100], 2),
    }


def _request(token: str, number: int, path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: bench-{number}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def drive(
    port: int, requests: Sequence[bytes], per_s: int | None, status: bytes = b"201"
) -> tuple[float, list[float]]:
    """Seconds from first to last, and of each; at `per_s` each has its instant."""
    begun = time.perf_counter()
    numbered = enumerate(requests)
    parts = await asyncio.gather(
        *(_caller(port, numbered, begun, per_s, status) for _ in range(CALLERS))
    )
    return time.perf_counter() - begun, [one for part in parts for one in part]


async def _caller(
    port: int,
    requests: Iterator[tuple[int, bytes]],
    begun: float,
    per_s: int | None,
    status: bytes,
) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for number, request in requests:
        due = time.perf_counter() if per_s is None else begun + number / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await answered(reader, writer, request, status)
        taken.append(time.perf_counter() - due)
    writer.close()
    return taken
