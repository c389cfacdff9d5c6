"""Who plays: one captured meter as itself or as N, its times kept or moved. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.capture.rewrite import rewrite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.capture.record import Record
    from ohmesh.model.telegram import Telegram

_EPOCH_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Role:
    """One synthetic copy; see `rewrite.Names`.

    Attributes:
        number: 0 plays itself, N goes by the captured name and `-N`.
        loop: the pass: each one comes from an outbox of its own, or the second were a repetition.
        shift_ms: added to receive times.
    """

    number: int
    loop: int
    shift_ms: int

    def gateway(self, name: str) -> str:
        """The gateway's name in this copy."""
        return f"{name}-{self.number}" if self.number else name

    def meter(self, name: str) -> str:
        """The meter's name in this copy."""
        return f"{name}-{self.number}" if self.number else name

    def node(self, number: int) -> int:
        """The mesh is the same in every copy: each has gateways of its own."""
        return number

    def telegram(self, telegram: Telegram) -> bytes:
        """The bytes as captured: what they say inside does not change."""
        return telegram.payload

    def received_ms(self, at_ms: int) -> int:
        """The receive time, moved."""
        return max(0, at_ms + self.shift_ms)

    def epoch(self, epoch: int) -> int:
        """Another outbox for each pass."""
        return (epoch + self.loop) % _EPOCH_MAX

    def foreign(self, record: Record) -> Record:
        """As captured."""
        return record


def play(record: Record, *, fan_out: int, loop: int, shift_ms: int) -> Iterator[Record]:
    """The record as each of `fan_out` copies sends it."""
    for number in range(fan_out):
        untouched = not (number or loop or shift_ms)
        yield record if untouched else rewrite(record, Role(number, loop, shift_ms))
