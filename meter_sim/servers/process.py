"""Child processes that never outlive us, and free ports."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
_SHOWN_BYTES = 2000
_NEVER_LENT = range(10_000, 32_768)  # below Linux's net.ipv4.ip_local_port_range
LOOPBACK = "127.0.0.1"


class ServerError(Exception):
    """A server that did not start; the message ends with the last lines of its log."""


def free_port() -> int:
    """A TCP port on loopback that nobody has now and no outgoing connection will be lent."""
    while True:
        port = secrets.choice(_NEVER_LENT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def listening(port: int) -> bool:
    """True when something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _die_with_parent(signal_number: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def set_signal() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal_number)

    return set_signal


def spawn(
    argv: Sequence[str | Path],
    *,
    log: IO[bytes],
    death_signal: int = signal.SIGTERM,
    user: int | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session that gets `death_signal` when this process dies.

    Linux means the thread that started it: call this from a thread that lives as long as the child.
    The own session keeps the terminal's Ctrl-C from the children: who started them stops them.
    """
    return subprocess.Popen(  # noqa: S603 - our own programs and servers
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=os.environ | (env or {}),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
        preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509 - runs one system call
    )


def stop(process: subprocess.Popen[bytes], *, sig: int = signal.SIGTERM, wait_s: float = 10) -> int:
    """Ask a child to end, then end it; its exit code."""
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, limit_s: float = 60
) -> None:
    """Poll until the child is ready. Raises ServerError when it ends or takes too long."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"{log.stem} ended with {process.returncode}: {tail(log)}")
        if ready():
            return
        time.sleep(_POLL_S)
    raise ServerError(f"{log.stem} is not ready after {limit_s} s: {tail(log)}")


def tail(log: Path) -> str:
    """The end of a log file, for an error message."""
    try:
        return log.read_bytes()[-_SHOWN_BYTES:].decode(errors="replace").strip()
    except OSError as error:
        return str(error)
