"""What a replay delivers to, and the account that each target keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meter_sim.capture.tools import telegrams_in
from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meter_sim.capture.record import Record

REASONS_MAX = 20
"""Refusals that are quoted; all are counted."""


class TargetGoneError(OhmeshError):
    """The target went away and did not come back in time."""


@dataclass(slots=True)
class Account:
    """What became of the records.

    Attributes:
        sent: records handed over, again ones not counted again.
        delivered: records that the target has acknowledged, or that its socket has taken where
            nothing is acknowledged (QoS 0, serial lines).
        telegrams: telegrams in the delivered ones.
        resent: records sent again after the target came back.
        refused: records that the target refused; they are undelivered too.
        skipped: records that this kind of target cannot take.
        reasons: why, for the first refusals.
        undelivered: records of which nobody knows that they arrived, in order.
    """

    sent: int = 0
    delivered: int = 0
    telegrams: int = 0
    resent: int = 0
    refused: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)
    undelivered: list[Record] = field(default_factory=list)

    def took(self, record: Record) -> None:
        """The target has it."""
        self.delivered += 1
        self.telegrams += telegrams_in(record)

    def refuse(self, record: Record, reason: str) -> None:
        """The target does not want it."""
        self.refused += 1
        self.undelivered.append(record)
        if len(self.reasons) < REASONS_MAX:
            self.reasons.append(f"{record.channel}: {reason}")


class Target(Protocol):
    """Takes records, one after the other."""

    account: Account

    def parts(self, record: Record) -> Sequence[Record]:
        """What of a record this target takes, one by one; nothing of another kind's."""
        ...

    def send(self, record: Record) -> None:
        """Take one part. Raises TargetGoneError before it has taken it."""
        ...

    def pump(self, wait_s: float) -> None:
        """Do the target's own work for at most so long. Raises TargetGoneError."""
        ...

    def finish(self) -> None:
        """Wait until all is acknowledged. Raises TargetGoneError."""
        ...

    def close(self) -> None:
        """Let go; what is not acknowledged is `account.undelivered`."""
        ...
