"""The end of a connection that meets the end of the gateway: nothing of it is left to complain."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from gateway.mqtt import Link, LinkSettings, spread
from ohmesh.wire.brokerurl import BrokerUrl

CONNACK = bytes.fromhex("2003000000")  # OASIS MQTT 5.0, 3.2: success, no properties


async def cut_and_cancel(turns):
    """A link whose line is cut, and `turns` turns of the event loop later is told to end."""
    up = asyncio.Event()
    peers = []

    async def accept(reader, writer):
        peers.append(writer)
        await reader.read(1024)
        writer.write(CONNACK)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = LinkSettings(
            brokers=[BrokerUrl.parse(f"mqtt://127.0.0.1:{port}")],
            client_id="gw1",
            topics=[],
            on_message=lambda _, __: None,
            on_change=lambda state: up.set() if state else None,
        )
        task = asyncio.create_task(Link(settings, spread(1)).run())
        async with asyncio.timeout(60):
            await up.wait()
        peers[0].transport.abort()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("turns", range(8))
async def test_a_line_cut_while_the_link_is_ended_is_not_called_forgotten(turns):
    """Whichever of both is first: the library's word on the cut has perhaps no reader."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    await cut_and_cancel(turns)
    for _ in range(20):  # what the library has left to do
        await asyncio.sleep(0)
    gc.collect()
    assert [said for said in complaints if "never retrieved" in said["message"]] == []
