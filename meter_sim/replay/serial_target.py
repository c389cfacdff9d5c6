"""A serial line as target: a device that exists, or a pty that this process makes."""

from __future__ import annotations

import os
import select
import termios
import tty
from typing import TYPE_CHECKING

from meter_sim.capture.record import SERIAL
from meter_sim.replay.target import Account, TargetGoneError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meter_sim.capture.record import Record

_PATIENCE_S = 30.0


class SerialTarget:
    """Writes the bytes of `serial` records; nothing acknowledges them.

    Attributes:
        path: the device that a gateway is to open.
    """

    def __init__(self, device: Path | None) -> None:
        """Args: device: where to write; None makes a pty. Raises TargetGoneError."""
        self.account = Account()
        self._slave: int | None = None
        try:
            if device is None:
                self._line, self._slave = os.openpty()
                tty.setraw(self._slave, termios.TCSANOW)
                self.path = os.ttyname(self._slave)
            else:
                self._line = os.open(device, os.O_WRONLY | os.O_NOCTTY)
                self.path = str(device)
        except (OSError, termios.error) as error:
            raise TargetGoneError(f"cannot open the serial line {device}: {error}") from None

    def parts(self, record: Record) -> Sequence[Record]:
        """Serial records only."""
        return (record,) if record.kind == SERIAL else ()

    def send(self, record: Record) -> None:
        """Write one record's bytes; waits while the line is full."""
        rest = memoryview(record.payload)
        while rest:
            _, writable, _ = select.select([], [self._line], [], _PATIENCE_S)
            if not writable:
                raise TargetGoneError(f"nobody reads {self.path} any more")
            rest = rest[os.write(self._line, rest) :]
        self.account.sent += 1
        self.account.took(record)

    def pump(self, wait_s: float) -> None:
        """Let time pass; what the other side says is read away, or its writes would stop."""
        readable, _, _ = select.select([self._line] if self._slave else [], [], [], wait_s)
        if readable:
            os.read(self._line, 4096)

    def finish(self) -> None:
        """Wait until the bytes have left."""
        if self._slave is None:
            termios.tcdrain(self._line)

    def close(self) -> None:
        """Close the line; a pty disappears with it."""
        os.close(self._line)
        if self._slave is not None:
            os.close(self._slave)
