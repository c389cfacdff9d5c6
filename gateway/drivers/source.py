"""What all field sources share: a way into the outbox, and never an end.

A source opens its line, works until the line fails, and tries again for ever with growing pauses.
A line on which nobody answers any more is opened anew too: it may be half open. A source says once
that it is lost, and once, with its next telegram, that it is back. Nothing that a device sends, and
no fault of a driver, stops another source.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.drivers.line import Line, now_ms
from gateway.drivers.schedule import Schedule
from gateway.thinning import Thinning
from ohmesh.model.errors import DriverError, DriverTransient, ModelError, StoreError
from ohmesh.model.ids import address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.program.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.drivers.line import LineSettings
    from gateway.outbox import Outbox

_log = logging.getLogger(__name__)

_RETRY_CAP_S = 30.0
_HEALTHY_S = 10.0
_UNANSWERED_MAX = 10
"""Turns in a row after which the line itself is doubted; fewer when no meter lives."""


class Intake:
    """The way of one source into the outbox."""

    def __init__(
        self, outbox: Outbox, *, clock_ms: Callable[[], int], source: str, name: str
    ) -> None:
        """Args: clock_ms: UTC milliseconds since 1970. source: the driver. name: for the log."""
        self._outbox = outbox
        self._clock_ms = clock_ms
        self.source = source
        self.name = name
        self.counts: Counter[str] = Counter()
        """`taken`, `refused` by the outbox, `thinned`, and a driver's own errors."""
        self._refusing = False
        self._opened = self._lost = False
        self._thinning = Thinning()

    async def put(self, meter: str, profile: str, payload: bytes) -> bool:
        """Commit a telegram; False when it was not taken: the meter will have a newer one."""
        if not self._thinning.admits(meter, self._outbox.state.fill, now_ms()):
            self.counts["thinned"] += 1
            self._outbox.thinned += 1
            return False
        if not await self.put_kept(meter, profile, [payload]):
            return False
        self._thinning.took(meter, now_ms())
        return True

    async def put_kept(self, meter: str, profile: str, payloads: Sequence[bytes]) -> bool:
        """Commit telegrams, all or none; False when the meter has to keep them."""
        at_ms = self._clock_ms()
        try:
            await self._outbox.append(
                [
                    Telegram(TelegramKind.METER, self.source, address(meter), profile, at_ms, p)
                    for p in payloads
                ]
            )
        except (StoreError, ModelError) as error:
            self.counts["refused"] += len(payloads)
            self._say_refused(error)
            return False
        self.counts["taken"] += len(payloads)
        self._refusing = False
        if self._lost:
            _log.info("%s: is back", self.name)
            self._lost = False
        return True

    def opened(self, line: str) -> None:
        """The line is open: one line in the log, at the first time; later a telegram says so."""
        if not self._opened:
            _log.info("%s: %s is open", self.name, line)
        self._opened = True

    def lost(self, error: DriverError) -> None:
        """The line failed: one line in the log until a telegram comes again."""
        self.counts["lost"] += 1
        if not self._lost:
            _log.warning("%s: %s", self.name, error)
        self._lost = True

    def _say_refused(self, error: Exception) -> None:
        if not self._refusing:
            _log.warning("%s: telegrams are not taken: %s", self.name, error)
        self._refusing = True


class Source:
    """One line, kept up until its task is cancelled."""

    def __init__(
        self, intake: Intake, line: LineSettings, serve: Callable[[Line], Awaitable[None]]
    ) -> None:
        """Args: serve: works on an open line until it raises."""
        self.intake = intake
        self._line = line
        self._serve = serve
        self._backoff = Backoff(random.random, cap_s=_RETRY_CAP_S, healthy_s=_HEALTHY_S)

    async def run(self) -> None:
        """Open, serve, and again, for ever."""
        while True:
            opened_at_s: float | None = None
            try:
                line = await Line.open(self._line)
                opened_at_s = time.monotonic()
                self.intake.opened(self._line.line)
                try:
                    await self._serve(line)
                finally:
                    line.close()
            except DriverError as error:
                self.intake.lost(error)
            except Exception:  # noqa: BLE001 - a driver's own fault must not stop the other sources
                self.intake.counts["fault"] += 1
                _log.exception("%s: a fault of the driver", self.intake.name)
            held_s = 0.0 if opened_at_s is None else time.monotonic() - opened_at_s
            await asyncio.sleep(self._backoff.failed(held_s))


@dataclass(frozen=True, slots=True)
class Answer:
    """What reading a meter brought.

    Attributes:
        meter: its address at this gateway.
        profile: that decodes it.
        payloads: a telegram each.
        rows: telegrams that the meter keeps until `kept` is called: when all are committed.
    """

    meter: str
    profile: str
    payloads: tuple[bytes, ...]
    rows: tuple[bytes, ...] = ()
    kept: Callable[[], None] | None = None


class Poller:
    """Asks the meters of one line in their turns.

    `ask(line, index)` reads a meter. It raises TimeoutError or a DriverError for a meter that does
    not answer well.
    """

    def __init__(
        self,
        intake: Intake,
        names: Sequence[str],
        *,
        period_s: float,
        ask: Callable[[Line, int], Awaitable[Answer]],
    ) -> None:
        self._intake = intake
        self._names = names
        self._ask = ask
        self._unanswered = 0
        self._never_asked = set(range(len(names)))
        self._schedule = Schedule(len(names), int(period_s * 1000), now_ms())

    async def serve(self, line: Line) -> None:
        """Ask for ever. Raises DriverTransient: the line is gone."""
        while True:
            index = self._schedule.next(now_ms())
            if index is None:
                await asyncio.sleep(max(0, self._schedule.next_due_ms() - now_ms()) / 1000)
            else:
                await self._take_turn(line, index)

    async def _take_turn(self, line: Line, index: int) -> None:
        try:
            answer = await self._ask(line, index)
        except (TimeoutError, DriverError) as error:
            line.check()
            self._intake.counts["failed"] += 1
            why = str(error) or "no answer"
            self._say_failed(index, why, dead=self._schedule.failed(index, now_ms()))
            self._unanswered += 1
            if self._unanswered >= _UNANSWERED_MAX or self._schedule.dead == len(self._names):
                self._unanswered = 0
                raise DriverTransient(f"{line.name}: no meter can be read: {why}") from error
            return
        self._unanswered = 0
        self._never_asked.discard(index)
        if self._schedule.answered(index, now_ms()):
            _log.info("%s: %s answers again", self._intake.name, self._names[index])
        for payload in answer.payloads:
            await self._intake.put(answer.meter, answer.profile, payload)
        await self._put_rows(answer)

    def _say_failed(self, index: int, why: str, *, dead: bool) -> None:
        """One line when the very first turn fails, for whoever sets it up, and one at the end."""
        name = self._names[index]
        if dead:
            _log.warning("%s: %s is silent: %s", self._intake.name, name, why)
        elif index in self._never_asked:
            _log.warning("%s: %s cannot be read yet: %s", self._intake.name, name, why)
        self._never_asked.discard(index)

    async def _put_rows(self, answer: Answer) -> None:
        rows = answer.rows
        safe = not rows or await self._intake.put_kept(answer.meter, answer.profile, rows)
        if safe and answer.kept:
            answer.kept()
