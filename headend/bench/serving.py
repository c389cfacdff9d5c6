"""The API in processes of its own on loopback, and asking it by octets alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from headend.api.app import create_app, rest_memory
from headend.ports import listening
from headend.store import db

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection as Pipe


@contextmanager
def serving(url: str) -> Iterator[tuple[int, int]]:
    """The API on a database, in a process of its own: its port and its process id."""
    with serving_by(url, 1) as (port, pids):
        yield port, pids[0]


@contextmanager
def serving_by(
    url: str, workers: int, requests_per_s: float = 1e9
) -> Iterator[tuple[int, list[int]]]:
    """The API on a database, in processes of its own: their port and their process ids."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = multiprocessing.Pipe()
    with listening("127.0.0.1", 0, workers) as listeners:
        children = [
            context.Process(target=_serve, args=(url, one, theirs, requests_per_s), daemon=True)
            for one in listeners
        ]
        for child in children:
            child.start()
        try:
            theirs.close()  # so that a child that ends early is an error here, and no silence
            pids = [ours.recv() for _ in children]
            yield listeners[0].getsockname()[1], pids
        finally:
            for child in children:
                child.terminate()
                child.join()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that the API runs on: uvloop where it is installed."""
    return uvicorn.Config("", log_config=None).get_loop_factory()


def _serve(url: str, listener: socket.socket, pipe: Pipe, requests_per_s: float) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve_on(url, listener, pipe, requests_per_s))


async def _serve_on(url: str, listener: socket.socket, pipe: Pipe, requests_per_s: float) -> None:
    async with db.make_pool(url) as pool:
        keys: Any = {"seal_key": lambda _, key: key, "open_key": lambda _, key: key}
        app = create_app(pool, secret=bytes(16), **keys, requests_per_s=requests_per_s)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        rest_memory()
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.02)
        pipe.send(os.getpid())
        await task


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def answered(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
    status: bytes = b"200",
) -> float:
    """Seconds from a request to the last octet of its answer, on a connection that stays."""
    began = time.perf_counter()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 " + status), head
    await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
    return time.perf_counter() - began
