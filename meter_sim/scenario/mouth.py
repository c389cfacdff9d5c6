"""A gateway's ear in a fed scenario: telegrams wait with their meters until it has them."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from meter_sim.replay.bench_target import BenchTarget
from meter_sim.replay.target import TargetGoneError
from meter_sim.servers.process import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.capture.record import Record

_PATIENCE_S = 30.0
_RETRY_S = 0.1
_FULL_PAUSE_S = 0.5


class Mouth:
    """Feeds one gateway.

    Args:
        gateway: its name.
        port: its bench port.
        answered: told (gateway, record, epoch, seq) of every telegram that it has committed.
    """

    def __init__(
        self, gateway: str, port: int, answered: Callable[[str, Record, int, int], None]
    ) -> None:
        self.gateway = gateway
        self.refused = 0
        self._port = port
        self._answered = answered
        self._waiting: deque[Record] = deque()
        self._target: BenchTarget | None = None

    @property
    def up(self) -> bool:
        """Somebody listens."""
        return self._target is not None

    def open(self) -> None:
        """The gateway is there; what waited goes first. Raises TargetGoneError."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._target is None:
            try:
                self._target = BenchTarget(
                    LOOPBACK, self._port, patience_s=_PATIENCE_S, answered=self._note
                )
            except TargetGoneError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
        self._send_waiting()

    def shut(self) -> None:
        """The gateway is gone; what it has not answered stays with the meters."""
        if self._target is not None:
            self._target.close()
            self._take_back()
            self._target = None

    def hear(self, record: Record) -> None:
        """A meter speaks."""
        if self._target is None:
            self._waiting.append(record)
        else:
            self._target.send(record)

    def try_again(self) -> None:
        """Offer once more what a full outbox has refused."""
        if self._target is not None:
            self._take_back()
            self._send_waiting()

    def finish(self, patience_s: float) -> None:
        """Until everything is answered. Raises TargetGoneError when the outbox stays full."""
        deadline = time.monotonic() + patience_s
        while self._target is not None:
            self._target.finish()
            self._take_back()
            if not self._waiting:
                return
            if time.monotonic() > deadline:
                left = len(self._waiting)
                raise TargetGoneError(f"{self.gateway} still refuses {left} telegrams")
            time.sleep(_FULL_PAUSE_S)
            self._send_waiting()

    def _send_waiting(self) -> None:
        assert self._target is not None
        while self._waiting:
            self._target.send(self._waiting.popleft())

    def _take_back(self) -> None:
        assert self._target is not None
        account = self._target.account
        self.refused += account.refused
        account.refused = 0
        self._waiting.extendleft(reversed(account.undelivered))
        account.undelivered.clear()

    def _note(self, record: Record, epoch: int, seq: int) -> None:
        self._answered(self.gateway, record, epoch, seq)
