"""What is in a capture, counted on the way."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meter_sim.capture import tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meter_sim.capture.record import Record

_CHANNELS_SHOWN = 20


class Summary:
    """Counts records on their way."""

    def __init__(self) -> None:
        self.channels: Counter[str] = Counter()
        self.numbering = tools.Numbering()
        self.bytes = self.telegrams = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def each(self, records: Iterable[Record]) -> Iterator[Record]:
        """Hand on and count."""
        for record in records:
            self.channels[record.channel] += 1
            self.bytes += len(record.payload)
            self.telegrams += tools.telegrams_in(record)
            self.numbering.look(record)
            known = [t for t in (self.first_us, self.last_us) if t is not None]
            self.first_us = min([record.at_us, *known])
            self.last_us = max([record.at_us, *known])
            yield record

    def facts(self) -> dict[str, object]:
        """For the last line."""
        return {
            "records": self.channels.total(),
            "telegrams": self.telegrams,
            "channels": len(self.channels),
            "payload_bytes": self.bytes,
            "first": None if self.first_us is None else _time(self.first_us),
            "last": None if self.last_us is None else _time(self.last_us),
            "missing": self.numbering.missing,
        }

    def lines(self, facts: Mapping[str, object]) -> Iterator[str]:
        """For people."""
        for name, value in facts.items():
            if value not in ("", None, {}):
                yield f"{name:14} {value}"
        for channel, count in self.channels.most_common(_CHANNELS_SHOWN):
            yield f"  {count:10} {channel}"


def line_of(record: Record) -> str:
    """One record for people."""
    return f"{_time(record.at_us)}  {record.channel}  {len(record.payload)} B  {_start(record)}"


def _start(record: Record) -> str:
    head = record.payload[:32]
    return head.decode("latin-1") if head.isascii() and head.isalnum() else head.hex()


def _time(at_us: int) -> str:
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{at_us} us"
