"""Child processes of a supervisor: started again when they end, and gone when it is gone.

A child's standard input is a pipe whose other end its parent alone holds. However the parent ends,
the pipe closes, and the child ends itself (`watch_parent`).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

_log = logging.getLogger(__name__)
POLL_S, PAUSE_S, END_S = 0.2, 1.0, 3.5


@dataclass(frozen=True, slots=True)
class Child:
    """One `ohmesh headend ...` process.

    Attributes:
        words: of the command line, behind `ohmesh headend`.
        files: descriptors that it inherits, under the same numbers.
        environment: what it has beside the parent's own.
    """

    words: tuple[str, ...]
    files: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Keep it alive until `stop` is set."""
        while not stop.is_set():
            with self._started() as child:
                while child.poll() is None and not stop.wait(POLL_S):
                    pass
                _end(child)
            if not stop.wait(PAUSE_S):
                _log.error("%s ended with %s; it is started again", self.words[0], child.returncode)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "ohmesh", "headend", *self.words, "--with-parent"],
            stdin=subprocess.PIPE,
            pass_fds=self.files,
            env=os.environ | dict(self.environment),
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let it end by itself; not for ever."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()


def watch_parent() -> None:
    """Wait until the parent is gone: its end of our standard input closes."""
    sys.stdin.buffer.read()
