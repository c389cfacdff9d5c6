"""Every reading's fate: when it was produced and when a gateway first had it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_READING = struct.Struct(">II")
PAYLOAD_BYTES = 72
"""A sealed load-profile message; with heads and seal about 120 B on the air."""


def encode_reading(node: int, number: int) -> bytes:
    """The payload of a node's n-th reading."""
    return _READING.pack(node, number).ljust(PAYLOAD_BYTES, b"\0")


@dataclass(slots=True)
class Ledger:
    """Readings by (node, number), times in microseconds."""

    produced: dict[tuple[int, int], int] = field(default_factory=dict)
    delivered: dict[tuple[int, int], int] = field(default_factory=dict)
    copies: int = 0
    """Deliveries of what had been delivered before; the head-end drops them."""

    def produce(self, node: int, now_us: int) -> bytes:
        """A new reading of a node."""
        number = len(self.produced)
        self.produced[node, number] = now_us
        return encode_reading(node, number)

    def deliver(self, payload: bytes, now_us: int) -> None:
        """A gateway made a payload durable."""
        key: tuple[int, int] = _READING.unpack_from(payload)
        if key in self.delivered:
            self.copies += 1
        else:
            assert key in self.produced, "nobody may deliver what nobody produced"
            self.delivered[key] = now_us

    def missing(self) -> list[tuple[int, int]]:
        """Readings no gateway has."""
        return [key for key in self.produced if key not in self.delivered]

    def latencies_us(self, *, from_us: int = 0) -> list[int]:
        """Of those produced from then on and delivered."""
        return [
            self.delivered[key] - at_us
            for key, at_us in self.produced.items()
            if at_us >= from_us and key in self.delivered
        ]

    def within(self, deadline_us: int, *, from_us: int, until_us: int) -> tuple[int, int]:
        """How many readings produced in a time arrived by their deadline, and of how many."""
        window = [(k, at) for k, at in self.produced.items() if from_us <= at < until_us]
        end = float("inf")
        good = sum(self.delivered.get(k, end) - at <= deadline_us for k, at in window)
        return good, len(window)
