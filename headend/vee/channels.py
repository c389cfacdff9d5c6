"""Which channels are validated, and what is known of each before any reading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from firmware_profiles import canonical
from headend.vee.model import Check

if TYPE_CHECKING:
    from headend.store.plan import Row

_ENERGY: Final = {"Wh", "varh", "VAh"}
_SUMMED: Final = {*_ENERGY, "m3", "J", "HCA"}
_SIGNED: Final = {"el.energy.net"}
_UNBOUNDED: Final = 2**53
_RATE: Final = re.compile(r"^(el\.energy\.(?:import|export))\.t\d+$")
_PHASE: Final = re.compile(r"^el\.energy\.l[123]\.(import|export)$")
_OWN: Final = re.compile(r"^el\.interval\.(import|export)$")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of the dictionary; `reported`: the meter's own intervals; `signed`: may go back."""

    id: int
    name: str
    unit: str
    scaler: int
    reported: bool
    signed: bool

    def most(self, power_w: int, length_s: int) -> int:
        """The highest value that a supply can carry in an interval, in the channel's resolution."""
        if self.unit not in _ENERGY:
            return _UNBOUNDED
        energy = power_w * length_s // 3600
        return int(energy // 10**self.scaler if self.scaler >= 0 else energy * 10**-self.scaler)


@cache
def kinds() -> dict[str, str]:
    """Names of the channels that are validated -> `cumulative` or `interval`."""
    return {
        name: entry.kind
        for name, entry in canonical.table().items()
        if entry.kind in {"cumulative", "interval"} and entry.register.unit.value in _SUMMED
    }


def channel(row: Row) -> Channel:
    """A channel from its row of the query `channels`."""
    name = row["name"]
    return Channel(
        row["id"], name, row["unit"], row["scaler"], kinds()[name] == "interval", name in _SIGNED
    )


def part_of(name: str) -> tuple[str, Check, str] | None:
    """The total that a channel is a part of, the rule that says so, and which set of parts."""
    if found := _RATE.match(name):
        return found[1], Check.PHASE, "rates"
    if found := _PHASE.match(name):
        return f"el.energy.{found[1]}", Check.PHASE, "phases"
    if found := _OWN.match(name):
        return f"el.energy.{found[1]}", Check.SUM, "own"
    return None
