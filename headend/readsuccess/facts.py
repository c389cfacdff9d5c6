"""What is known of intervals that are missing: the store's part of `causes`. Plans."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from headend.readsuccess.causes import Facts, Slot, Way
from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headend.readsuccess.causes import Miss
    from headend.readsuccess.definition import Day
    from headend.store.plan import Row

SQL: Final = Queries("headend.readsuccess", "reads.sql")


class Lacking(NamedTuple):
    """A meter with missing slots; its row has `id`, `interval_s` and `gateway_id`."""

    meter: Row
    missing: Sequence[int]


def ways(lacking: Sequence[Lacking], span: Day) -> Plan[dict[int, list[Row]]]:
    """The routes of meters over a span."""
    found: dict[int, list[Row]] = defaultdict(list)
    if lacking:
        meters = [one.meter["id"] for one in lacking]
        for row in (yield SQL("routes", meters=meters, begin=span.begin, end=span.end)):
            found[row["meter"]].append(row)
    return dict(found)


def gather(
    tenant: int,
    lacking: Sequence[Lacking],
    span: Day,
    channels: list[int],
    routes: Mapping[int, list[Row]],
) -> Plan[Facts]:
    """What else was heard in the time of what is missing."""
    if not lacking:
        return Facts()
    which = {"meters": [one.meter["id"] for one in lacking], "begin": span.begin, "end": span.end}
    quarantined = yield SQL("quarantined", **which)
    rejected = yield SQL("rejected", **which, channels=channels)
    archived = yield SQL("archived", **which)
    heard = yield from _heard(tenant, span)
    missing = {Slot(one.meter["id"], slot) for one in lacking for slot in one.missing}
    lengths = {one.meter["id"]: one.meter["interval_s"] for one in lacking}
    homes = {one.meter["id"]: one.meter["gateway_id"] for one in lacking}
    return Facts(
        quarantined={Slot(row["meter"], row["slot"]) for row in quarantined},
        rejected={Slot(row["meter"], row["slot"]) for row in rejected},
        archived={Slot(row["meter"], row["slot"]) for row in archived},
        heard=heard,
        missing=missing,
        ways={slot: _way(slot, lengths, homes, routes) for slot in missing},
        length_s=lengths,
    )


def _heard(tenant: int, span: Day) -> Plan[dict[int, set[int]] | None]:
    """Which gateway was heard in which quarter-hour; None when telegrams are not archived."""
    which = {"tenant": tenant, "begin": span.begin, "end": span.end}
    if not (yield SQL("archives", **which))[0]["archives"]:
        return None
    heard: dict[int, set[int]] = defaultdict(set)
    for row in (yield SQL("heard", **which)):
        heard[row["gateway"]].add(row["step"])
    return dict(heard)


def _way(
    slot: Slot,
    lengths: Mapping[int, int],
    homes: Mapping[int, int | None],
    routes: Mapping[int, list[Row]],
) -> Way:
    """The way at the slot's END: as reported then, else the meter's home now."""
    at = instant(slot.number, lengths[slot.meter])
    for row in reversed(routes.get(slot.meter, [])):
        if row["from_ts"] <= at and (row["to_ts"] is None or at < row["to_ts"]):
            return Way(row["gateway_id"], row["parent"], row["relay"])
    return Way(homes[slot.meter])


def columns(found: Sequence[Miss], length_s: Mapping[int, int]) -> dict[str, list[object]]:
    """Misses as columns for a statement."""
    return {
        "meters": [miss.meter for miss in found],
        "lows": [instant(miss.first - 1, length_s[miss.meter]) for miss in found],
        "highs": [instant(miss.last, length_s[miss.meter]) for miss in found],
        "counts": [miss.last - miss.first + 1 for miss in found],
        "causes": [miss.cause for miss in found],
        "gateways": [miss.way.gateway for miss in found],
        "nodes": [miss.way.node for miss in found],
    }


def instant(number: int, length_s: int) -> datetime:
    """The END of a slot."""
    return datetime.fromtimestamp(number * length_s, UTC)
