"""Every reading's fate: who produced it when, and when a gateway first had it.

A reading costs 20 octets, so that a day of a large city fits: a million readings are 20 MB.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_READING = struct.Struct(">II")
_NEVER = -1
PAYLOAD_BYTES = 72
"""A sealed load-profile message; with heads and seal about 120 B on the air."""


def encode_reading(node: int, number: int) -> bytes:
    """The payload of the reading of a number."""
    return _READING.pack(node, number).ljust(PAYLOAD_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading; times in microseconds, `delivered_us` None while no gateway has it."""

    node: int
    produced_us: int
    delivered_us: int | None


class Ledger:
    """Readings in the order they were produced."""

    def __init__(self) -> None:
        """Start empty."""
        self._node = array("I")
        self._produced_us = array("q")
        self._delivered_us = array("q")
        self.copies = 0
        """Deliveries of what had been delivered before; the head-end drops them."""

    def __len__(self) -> int:
        """Readings produced."""
        return len(self._node)

    def __iter__(self) -> Iterator[Reading]:
        """All readings."""
        for node, made_us, got_us in zip(
            self._node, self._produced_us, self._delivered_us, strict=True
        ):
            yield Reading(node, made_us, got_us if got_us != _NEVER else None)

    def produce(self, node: int, now_us: int) -> bytes:
        """A new reading of a node."""
        self._node.append(node)
        self._produced_us.append(now_us)
        self._delivered_us.append(_NEVER)
        return encode_reading(node, len(self._node) - 1)

    def deliver(self, payload: bytes, now_us: int) -> None:
        """A gateway made a payload durable."""
        node, number = _READING.unpack_from(payload)
        assert self._node[number] == node, "nobody may deliver what nobody produced"
        if self._delivered_us[number] != _NEVER:
            self.copies += 1
        else:
            self._delivered_us[number] = now_us

    def between(self, from_us: int, until_us: int) -> list[Reading]:
        """The readings produced in [from, until)."""
        return [reading for reading in self if from_us <= reading.produced_us < until_us]

    def missing(self, until_us: int | None = None) -> list[Reading]:
        """Readings no gateway has, produced up to a time."""
        return [
            reading
            for reading in self
            if reading.delivered_us is None
            and (until_us is None or reading.produced_us <= until_us)
        ]

    def latencies_us(self, *, from_us: int = 0) -> list[int]:
        """Of those produced from then on and delivered."""
        return [
            reading.delivered_us - reading.produced_us
            for reading in self
            if reading.delivered_us is not None and reading.produced_us >= from_us
        ]

    def within(self, deadline_us: int, *, from_us: int, until_us: int) -> tuple[int, int]:
        """How many readings produced in a time arrived by their deadline, and of how many."""
        window = self.between(from_us, until_us)
        end = float("inf")
        good = sum(
            (end if r.delivered_us is None else r.delivered_us) - r.produced_us <= deadline_us
            for r in window
        )
        return good, len(window)
