"""Why an interval is missing: one cause each, by what else was heard at that time. Pure.

The first line that fits names the cause:

| cause | when |
|---|---|
| `quarantine` | a telegram of the meter waits undecoded, received in the interval's time |
| `rejected` | a reading is there, but its clock or value is not to be trusted |
| `ingest` | a telegram of the meter was archived in the interval's time and gave no reading of it |
| `broker` | no gateway of the utility was heard in the interval's time |
| `gateway` | the meter's gateway was not heard, others were |
| `hop` | the relay that the meter sent to misses the same interval |
| `meter` | none of these: the meter itself was silent |

A telegram belongs to the time of an interval when it was received between its END and the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet


class Cause(StrEnum):
    """Whose fault a miss is."""

    METER = "meter"
    HOP = "hop"
    GATEWAY = "gateway"
    BROKER = "broker"
    INGEST = "ingest"
    QUARANTINE = "quarantine"
    REJECTED = "rejected"


class Slot(NamedTuple):
    """An interval of a meter by its number: END = number x length, seconds since 1970."""

    meter: int
    number: int


class Way(NamedTuple):
    """Where a meter's telegrams went at a time: its gateway, and the relay's node and meter."""

    gateway: int | None
    node: int | None = None
    relay: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a day.

    Attributes:
        quarantined, rejected, archived: slots in whose time there was such a telegram or reading.
        heard: gateway -> numbers of the quarter-hours in which it was heard; None when nobody
            knows, because the archive is off.
        missing: all slots that are missing.
        ways: the way of each missing slot.
        length_s: interval of each meter.
    """

    quarantined: AbstractSet[Slot] = frozenset()
    rejected: AbstractSet[Slot] = frozenset()
    archived: AbstractSet[Slot] = frozenset()
    heard: Mapping[int, AbstractSet[int]] | None = None
    missing: AbstractSet[Slot] = frozenset()
    ways: Mapping[Slot, Way] = field(default_factory=dict)
    length_s: Mapping[int, int] = field(default_factory=dict)


HEARD_STEP_S = 900
"""Gateways are heard or not by the quarter-hour."""


def cause(slot: Slot, facts: Facts) -> Cause:
    """The cause of one miss."""
    if slot in facts.quarantined:
        return Cause.QUARANTINE
    if slot in facts.rejected:
        return Cause.REJECTED
    if slot in facts.archived:
        return Cause.INGEST
    return _on_the_way(slot, facts)


def _on_the_way(slot: Slot, facts: Facts) -> Cause:
    """Nothing of the meter arrived: what else was heard says where it stopped."""
    way = facts.ways.get(slot, Way(None))
    if way.gateway is None:
        return Cause.METER
    if facts.heard is not None:
        steps = _steps(slot, facts.length_s[slot.meter])
        if not steps & facts.heard.get(way.gateway, frozenset()):
            others = any(steps & heard for heard in facts.heard.values())
            return Cause.GATEWAY if others else Cause.BROKER
    if way.relay is not None and _relay_misses(slot, way.relay, facts):
        return Cause.HOP
    return Cause.METER


def _steps(slot: Slot, length_s: int) -> set[int]:
    """The quarter-hours of the interval's time: from its END to the next."""
    end_s = slot.number * length_s
    first, last = end_s // HEARD_STEP_S, (end_s + length_s - 1) // HEARD_STEP_S
    return set(range(first, last + 1))


def _relay_misses(slot: Slot, relay: int, facts: Facts) -> bool:
    """The relay's own interval with the same END is missing."""
    end_s, length_s = slot.number * facts.length_s[slot.meter], facts.length_s.get(relay, 0)
    return bool(length_s) and Slot(relay, -(-end_s // length_s)) in facts.missing


class Miss(NamedTuple):
    """Neighbouring slots of a meter that are missing for one cause; numbers first to last."""

    meter: int
    first: int
    last: int
    cause: Cause
    way: Way


def misses(slots: Iterable[Slot], facts: Facts) -> list[Miss]:
    """The causes of missing slots, neighbours with one cause and way together."""
    found: list[Miss] = []
    for slot in sorted(slots):
        why, way = cause(slot, facts), facts.ways.get(slot, Way(None))
        way = way if why is Cause.HOP else Way(way.gateway)
        last = found[-1] if found else None
        if last and (last.meter, last.last + 1, last.cause, last.way) == (
            slot.meter,
            slot.number,
            why,
            way,
        ):
            found[-1] = last._replace(last=slot.number)
        else:
            found.append(Miss(slot.meter, slot.number, slot.number, why, way))
    return found
