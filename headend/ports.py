"""One address that several processes answer on: the kernel deals out connections among them.

Theory of operation. The supervisor opens a listening socket for each process, all on the same port
(SO_REUSEPORT), and keeps them: while a process is started anew its socket goes on taking
connections, and nobody is turned away. Linux deals connections out evenly by a hash of the
addresses; other systems may give all to one.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG: Final = 2048


@contextmanager
def listening(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Sockets on one address, as many as processes; port 0 is any free one. Raises ConfigError."""
    opened: list[socket.socket] = []
    try:
        _open(host, port, count, opened)
        yield opened
    finally:
        for one in opened:
            one.close()


def _open(host: str, port: int, count: int, opened: list[socket.socket]) -> None:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Alone at first: sharing would let a second head-end in unseen.
        with socket.create_server(address[:2], family=family) as alone:
            address = alone.getsockname()[:2]
        opened.extend(
            socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True)
            for _ in range(count)
        )
    except OSError as error:
        raise ConfigError(
            f"api.host, api.port: cannot listen on {host}:{port}: {_reason(error)}; stop the"
            " program that has the port, or choose another"
        ) from error


def _reason(error: OSError) -> str:
    """The system's words without Python's; a resolver's numbers are its own."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(error.strerror)
