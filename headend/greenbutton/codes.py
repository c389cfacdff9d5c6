"""Codes of ESPI for our channels. Source: NAESB REQ.21 (ESPI), shared with IEC 61968-9."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ohmesh.model.reading import Quality

SERVICES: Final = {"el": 0, "gas": 1, "water": 2, "heat": 4}
_COMMODITIES: Final = {"el": 1, "gas": 7, "water": 9, "heat": 12}
_UNITS: Final = {"Wh": 72, "varh": 73, "VAh": 71, "m3": 42, "J": 31}
_PHASES: Final = {"l1": 128, "l2": 64, "l3": 32}
_QUADRANTS: Final = {"q1": 15, "q2": 16, "q3": 17, "q4": 18}
ENERGY, VOLUME = 12, 58
FORWARD, REVERSE, NET, TOTAL = 1, 19, 4, 20
DELTA: Final = 4
EDITED, ESTIMATED, QUESTIONABLE, VALIDATED, FAILED_ACCEPTED = 7, 8, 10, 17, 18
_PART: Final = re.compile(r"[.]")


@dataclass(frozen=True, slots=True)
class Codes:
    """What a ReadingType says of a channel."""

    commodity: int
    flow: int
    kind: int
    phase: int
    uom: int


def codes_of(channel: str, unit: str) -> Codes | None:
    """The codes of a channel; None when ESPI has none for it."""
    service, *parts = _PART.split(channel)
    if service not in SERVICES or unit not in _UNITS:
        return None
    phase = next((code for name, code in _PHASES.items() if name in parts), 0)
    kind = VOLUME if unit == "m3" else ENERGY
    return Codes(_COMMODITIES[service], _flow(parts), kind, phase, _UNITS[unit])


def _flow(parts: list[str]) -> int:
    if quadrant := next((code for name, code in _QUADRANTS.items() if name in parts), 0):
        return quadrant
    if "export" in parts:
        return REVERSE
    return NET if "net" in parts else TOTAL if "abs" in parts else FORWARD


def quality_of(flags: int, failed: int) -> int:
    """The quality of an interval by its flags and the rules that it failed."""
    if flags & Quality.EDITED:
        return EDITED
    if flags & Quality.ESTIMATED:
        return ESTIMATED
    if flags & (Quality.CLOCK_INVALID | Quality.RECEIVED_TIME | Quality.OVERFLOW):
        return QUESTIONABLE
    return FAILED_ACCEPTED if failed else VALIDATED
