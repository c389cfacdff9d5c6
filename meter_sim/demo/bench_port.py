"""Feed telegrams into a gateway's bench port: a JSON object a line, an answer a line."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from meter_sim.servers.process import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meter_sim.demo.records import BenchRecord


class RefusedError(Exception):
    """The gateway refused a telegram; the message has its reason."""


async def feed(port: int, records: Sequence[BenchRecord]) -> int:
    """Send the records; the number that the gateway has committed to its outbox.

    Raises:
        RefusedError: it refused one.
        OSError: the port does not answer.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        for record in records:
            line = {
                "meter": record.meter,
                "profile": record.profile,
                "payload_hex": record.payload.hex(),
            }
            writer.write(json.dumps(line).encode() + b"\n")
            await writer.drain()
            answer = json.loads(await reader.readline())
            if not answer.get("ok"):
                raise RefusedError(f"{record.meter}: {answer.get('error')}")
    finally:
        writer.close()
        await writer.wait_closed()
    return len(records)
