"""Meters that speak unasked: P1, SML, pushed readouts, TIC, and DLMS on customer ports.

A P1 port speaks every second; the archive needs less. Of each period the first whole telegram is
taken, and when one is damaged the next one serves.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.drivers.framing import P1Splitter, ReadoutSplitter, SmlSplitter, TicSplitter
from gateway.drivers.han import GloSplitter, HdlcSplitter, MbusPushSplitter
from gateway.drivers.line import now_ms
from ohmesh.model.errors import DriverTransient

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.drivers.framing import Splitter
    from gateway.drivers.line import Line
    from gateway.drivers.source import Intake

SPLITTERS: dict[str, Callable[[], Splitter]] = {
    "p1": P1Splitter,
    "sml": SmlSplitter,
    "readout": ReadoutSplitter,
    "tic": TicSplitter,
    "hdlc": HdlcSplitter,
    "mbus": MbusPushSplitter,
    "glo": GloSplitter,
}
_SILENCE_S = 300.0
"""A TCP line may be dead without a word: after so long a silence it is opened anew."""

_BREATH_S = 0.02
"""Between two looks: a device that talks for ever at full speed does not take the processor."""


class Listener:
    """One meter that speaks on one line."""

    def __init__(
        self, intake: Intake, *, framing: str, meter: str, profile: str, period_s: float
    ) -> None:
        """Args: framing: of `SPLITTERS`. period_s: at most one telegram in it, 0 for all."""
        self._intake = intake
        self._new_splitter = SPLITTERS[framing]
        self._meter = meter
        self._profile = profile
        self._period_ms = int(period_s * 1000)
        self._quiet_until_ms = 0

    async def serve(self, line: Line) -> None:
        """Listen for ever. Raises DriverTransient: the line is gone, or silent for too long."""
        splitter = self._new_splitter()
        while True:
            try:
                octets = await line.read(_SILENCE_S + self._period_ms / 1000)
            except TimeoutError:
                raise DriverTransient(
                    f"{line.name}: the meter is silent; is it unlocked?"
                ) from None
            for telegram in splitter.feed(octets):
                await self._take(telegram)
            self._intake.counts["damaged"] += splitter.dropped
            splitter.dropped = 0
            await asyncio.sleep(_BREATH_S)

    async def _take(self, telegram: bytes) -> None:
        if now_ms() < self._quiet_until_ms:
            self._intake.counts["passed"] += 1
            return
        if await self._intake.put(self._meter, self._profile, telegram):
            self._quiet_until_ms = now_ms() + self._period_ms
