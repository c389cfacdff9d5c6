"""What all servers share: one child process on one port of loopback, with a log of its own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar, Self

from meter_sim.servers.process import free_port, spawn, stop, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Server:
    """Starts and ends the process; after a stop it starts again on the same port."""

    stop_signal: ClassVar[int] = signal.SIGTERM

    def __init__(self, log: Path) -> None:
        """Args: log: the file that the process writes to."""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def pid(self) -> int:
        """Of its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it serves. Raises ServerError."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it in good order."""
        self._end(self.stop_signal)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(
        self,
        argv: Sequence[str | Path],
        ready: Callable[[int], bool],
        *,
        limit_s: float = 30,
        user: int | None = None,
        cwd: Path | None = None,
    ) -> Self:
        """Args: ready: told where in the log the process began to write."""
        offset = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = spawn(argv, log=log, death_signal=self.stop_signal, user=user, cwd=cwd)
        wait_until(lambda: ready(offset), self._process, self._log, limit_s=limit_s)
        return self

    def _end(self, sig: int) -> None:
        if self._process is not None:
            stop(self._process, sig=sig)
            self._process = None
