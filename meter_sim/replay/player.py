"""The pump between schedule and target."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_sim.replay.cast import play
from meter_sim.replay.schedule import percentile, schedule
from meter_sim.replay.target import TargetGoneError
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meter_sim.capture.record import Record
    from meter_sim.replay.schedule import Due
    from meter_sim.replay.target import Target

_PUMP_S = 0.2
_JITTERS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How to replay.

    Attributes:
        speed: 1 is the captured pace; None as fast as it goes.
        loops: passes.
        fan_out: copies of every meter and gateway.
        shift_ms: added to receive times.
    """

    speed: float | None = 1.0
    loops: int = 1
    fan_out: int = 1
    shift_ms: int = 0


@dataclass(slots=True)
class Played:
    """What was measured while playing.

    Attributes:
        seconds: from the first record to the last acknowledgement.
        gone: why it ended before its end; None when it did not.
        jitters_s: by how much each distance between two records differed from the planned one.
    """

    seconds: float = 0.0
    gone: str | None = None
    jitters_s: list[float] = field(default_factory=list)

    @property
    def jitter_p99_ms(self) -> float:
        """Inter-arrival jitter at the sender, 99th percentile."""
        return round(percentile(self.jitters_s, 99) * 1000, 3)


def in_real_time() -> None:
    """From now on this process runs before all ordinary ones (SCHED_FIFO), as far as it has to.

    Raises:
        ConfigError: the system does not permit it.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError as error:
        raise ConfigError(
            f"no real-time priority: {error.strerror}; it takes root or CAP_SYS_NICE"
        ) from error


@dataclass(slots=True)
class Player:
    """Plays to the end, until told to stop, or until the target is gone for good.

    What could not be sent is then in `target.account.undelivered`; the caller closes the target.

    Attributes:
        target: who gets it.
        plan: how.
        stop: asked again and again; True ends the replay in good order.
    """

    target: Target
    plan: Plan
    stop: Callable[[], bool] = lambda: False
    played: Played = field(default_factory=Played)
    _last: tuple[float, float] | None = None

    def play(self, records: Callable[[], Iterable[Record]]) -> Played:
        """Replay. Args: records: gives them anew for each pass."""
        began_s = time.monotonic()
        left = self._parts(schedule(records, speed=self.plan.speed, loops=self.plan.loops))
        pending: list[Record] = []
        try:
            for at_s, record in left:
                pending = [record]
                if self.stop():
                    break
                self._wait(began_s, at_s)
                self.target.send(record)
                pending = []
                if self.plan.speed is not None:
                    self.target.pump(0)  # it leaves now, not with the next full buffer
            self.target.finish()
        except TargetGoneError as error:
            self.played.gone = str(error)
            pending += [record for _, record in left]
            self.target.account.undelivered.extend(pending)
        self.played.seconds = time.monotonic() - began_s
        return self.played

    def _parts(self, dues: Iterable[Due]) -> Iterator[tuple[float, Record]]:
        fan_out, shift_ms = self.plan.fan_out, self.plan.shift_ms
        for due in dues:
            for copy in play(due.record, fan_out=fan_out, loop=due.loop, shift_ms=shift_ms):
                parts = self.target.parts(copy)
                self.target.account.skipped += not parts
                for part in parts:
                    yield due.at_s, part

    def _wait(self, began_s: float, due_s: float) -> None:
        """Let the target work until a record is due, and note how far off it leaves."""
        if self.plan.speed is None:
            return
        while (left_s := began_s + due_s - time.monotonic()) > 0 and not self.stop():
            self.target.pump(min(left_s, _PUMP_S))
        now_s, jitters = time.monotonic(), self.played.jitters_s
        if self._last is not None and len(jitters) < _JITTERS_MAX:
            jitters.append(abs((now_s - self._last[0]) - (due_s - self._last[1])))
        self._last = now_s, due_s
