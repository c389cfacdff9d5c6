"""Where simulated field meters are reached: a TCP port, or a pseudo-terminal as a serial port.

A meter is a `Responder`: bytes in, bytes out, and what it says unasked. A pseudo-terminal has the
speed that the other end has set, so a meter can be deaf at a wrong speed as a real one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

_SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}
_READ_BYTES = 4096


class Responder(Protocol):
    """A meter, or the meters of a bus, at one connection."""

    period_s: float | None
    """Between two things that it says unasked, None when it never does."""

    def receive(self, octets: bytes, baud: int | None) -> bytes:
        """Take bytes, give the answer; `baud` is the speed of a serial line."""
        ...

    def speak(self) -> bytes:
        """What it says unasked."""
        ...


@contextlib.asynccontextmanager
async def serve_tcp(
    new: Callable[[], Responder], port: int, *, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Serve a fresh responder on each connection; gives the port. Raises OSError: it is taken."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        tasks.add(me)
        try:
            await _converse(new(), reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return  # the client is gone, or the program ends
        finally:
            tasks.discard(me)
            writer.close()

    async with await asyncio.start_server(connection, host, port) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in (open_ones := list(tasks)):
                task.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)


async def _converse(
    responder: Responder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        try:
            async with asyncio.timeout(responder.period_s):
                octets = await reader.read(_READ_BYTES)
            if not octets:
                return
            answer = responder.receive(octets, None)
        except TimeoutError:
            answer = responder.speak()
        writer.write(answer)
        await writer.drain()


@contextlib.asynccontextmanager
async def serve_pty(responder: Responder, link: Path) -> AsyncIterator[Path]:
    """Serve on a pseudo-terminal that `link` names for as long as the context lasts."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    _name(link, os.ttyname(slave))
    task = asyncio.create_task(_serve_port(responder, master), name=f"port {link}")
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        _unname(link)
        os.close(master)
        os.close(slave)


def _name(link: Path, port: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(port)


def _unname(link: Path) -> None:
    link.unlink(missing_ok=True)


async def _serve_port(responder: Responder, master: int) -> None:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(master, readable.set)
    try:
        while True:
            try:
                async with asyncio.timeout(responder.period_s):
                    await readable.wait()
                readable.clear()
                answer = responder.receive(os.read(master, _READ_BYTES), _baud(master))
            except TimeoutError:
                answer = responder.speak()
            except BlockingIOError:
                continue
            await _send(master, answer)
    finally:
        loop.remove_reader(master)


async def _send(master: int, octets: bytes) -> None:
    """A real line does not wait for its reader: what nobody takes is lost."""
    with contextlib.suppress(BlockingIOError):
        while octets:
            octets = octets[os.write(master, octets) :]
            await asyncio.sleep(0)


def _baud(port: int) -> int | None:
    return _SPEEDS.get(termios.tcgetattr(port)[5])
