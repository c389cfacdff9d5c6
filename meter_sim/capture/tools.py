"""Select, join and count records. Pure."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from meter_sim.capture.benchline import decode_line
from meter_sim.capture.record import BENCH, MQTT
from ohmesh.model.errors import WireError
from ohmesh.wire.uplink import decode_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meter_sim.capture.record import Record


def topic_matches(topic_filter: str, topic: str) -> bool:
    """MQTT 5, 4.7: `+` is one level, `#` at the end is all that follow and the parent."""
    wanted, found = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(found) or level not in {"+", found[index]}:
            return False
    return len(wanted) == len(found)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records to take; an empty condition takes all.

    Attributes:
        topics: MQTT topic filters.
        kinds: `mqtt`, `serial`, `bench`.
        meters: patterns of shell style for meters named in bench lines and uplink batches.
    """

    topics: Sequence[str] = ()
    kinds: Sequence[str] = ()
    meters: Sequence[str] = ()

    def takes(self, record: Record) -> bool:
        """True when every condition holds."""
        if self.kinds and record.kind not in self.kinds:
            return False
        if self.topics and not (record.kind == MQTT and self._topic(record.place)):
            return False
        return not self.meters or any(map(self._meter, meters_of(record)))

    def _topic(self, topic: str) -> bool:
        return any(topic_matches(wanted, topic) for wanted in self.topics)

    def _meter(self, meter: str) -> bool:
        return any(fnmatchcase(meter, pattern) for pattern in self.meters)


def meters_of(record: Record) -> set[str]:
    """Meters that speak in a record; empty when it names none."""
    levels = record.place.split("/")
    try:
        if record.kind == BENCH:
            return {decode_line(record.payload).meter}
        if record.kind == MQTT and levels[:3] == ["ohmesh", "v1", "gw"] and levels[-1] == "up":
            return {row.meter for row in decode_batch(record.payload).rows if row.meter}
    except WireError:
        return set()
    if record.kind == MQTT and levels[:3] == ["ohmesh", "v1", "meter"]:
        return {levels[3]}
    return set()


def merge(captures: Sequence[Iterable[Record]]) -> Iterator[Record]:
    """All records by time; those of one moment in the order of the captures."""
    return heapq.merge(*captures, key=lambda record: record.at_us)


def telegrams_in(record: Record) -> int:
    """Telegrams that a record carries: a batch's rows, otherwise the record itself."""
    if record.kind == MQTT and record.place.startswith("ohmesh/v1/gw/"):
        if not record.place.endswith("/up"):
            return 0
        try:
            return len(decode_batch(record.payload).rows)
        except WireError:
            return 0
    return 1


@dataclass(slots=True)
class Numbering:
    """Gaps in the numbers that gateways give their telegrams: what a tap did not hear."""

    _seen: dict[tuple[str, int], list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def look(self, record: Record) -> None:
        """Note the numbers of an uplink batch; other records have none."""
        if record.kind != MQTT or not record.place.endswith("/up"):
            return
        try:
            batch = decode_batch(record.payload)
        except WireError:
            return
        self._seen[batch.gateway, batch.epoch].append((batch.first_seq, batch.end_seq))

    @property
    def missing(self) -> dict[str, int]:
        """Gateway -> telegrams between the first and the last number that nobody recorded."""
        missing: Counter[str] = Counter()
        for (gateway, _), ranges in self._seen.items():
            missing[gateway] += _holes(ranges)
        return {gateway: count for gateway, count in sorted(missing.items()) if count}


def _holes(ranges: list[tuple[int, int]]) -> int:
    ordered = sorted(ranges)
    holes, end = 0, ordered[0][0]
    for first, last in ordered:
        holes += max(0, first - end)
        end = max(end, last)
    return holes
