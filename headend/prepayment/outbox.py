"""Supply commands of one contract: fenced, one on air at a time, at-least-once, absolute.

A command may be sent only while its sequence number is that of the last decision and its deadline
has not passed; a disconnection also only while cutting is permitted. A reconnection waits for the
answer or the timeout of a disconnection on air, so that the two cannot swap on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zlib import crc32

RETRY_S = (60, 120, 240, 480, 900, 3600)
"""Pauses after the timeouts of one command; the last one repeats."""
JITTER_PERCENT = 20


class Kind(StrEnum):
    """Absolute: be off, be on."""

    DISCONNECT = "disconnect"
    RECONNECT = "reconnect"


class Status(StrEnum):
    """Where a command is. UNKNOWN: no answer came, only a relay read will settle it."""

    QUEUED = "queued"
    SENT = "sent"
    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


OPEN = frozenset({Status.QUEUED, Status.SENT, Status.UNKNOWN})


@dataclass(frozen=True, slots=True)
class SupplyCommand:
    """One command; `not_after` None: it never expires."""

    kind: Kind
    seq: int
    queued_at: datetime
    not_after: datetime | None = None
    status: Status = Status.QUEUED
    attempts: int = 0
    next_try: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still have an effect that we wait for."""
        return self.status in OPEN

    def expired(self, now: datetime) -> bool:
        """Whether its deadline has passed."""
        return self.not_after is not None and now >= self.not_after

    def due(self, now: datetime) -> bool:
        """Whether it waits to be sent, for the first time or again."""
        if self.status is Status.QUEUED:
            return True
        again = self.status is Status.UNKNOWN and self.next_try is not None
        return again and self.next_try is not None and now >= self.next_try


Commands = tuple[SupplyCommand, ...]


def send_due(commands: Commands, decision_seq: int, now: datetime, *, may_cut: bool) -> Commands:
    """Mark what may go on air as sent, and what may not any more as superseded or expired."""
    made = list(commands)
    for i, command in enumerate(made):
        if not command.due(now):
            continue
        if command.seq != decision_seq:
            made[i] = replace(command, status=Status.SUPERSEDED)
        elif command.expired(now) or (command.kind is Kind.DISCONNECT and not may_cut):
            made[i] = replace(command, status=Status.EXPIRED)
        elif not any(c.status is Status.SENT for c in made):
            made[i] = replace(command, status=Status.SENT, attempts=command.attempts + 1)
    return tuple(made)


def timed_out(commands: Commands, seq: int, now: datetime, salt: str) -> Commands:
    """No answer to a sent command: its effect is unknown, and it is tried again later.

    Args:
        commands: all of the contract.
        seq: which.
        now: UTC.
        salt: spreads retries of different contracts; the same arguments give the same pause.
    """
    return tuple(
        replace(c, status=Status.UNKNOWN, next_try=now + _pause(c, salt))
        if c.seq == seq and c.status is Status.SENT
        else c
        for c in commands
    )


def supersede_unsent(commands: Commands, kind: Kind) -> Commands:
    """Withdraw what has never been on air."""
    return tuple(
        replace(c, status=Status.SUPERSEDED) if c.kind is kind and c.status is Status.QUEUED else c
        for c in commands
    )


def set_status(commands: Commands, seq: int, status: Status) -> Commands:
    """One command's new status."""
    return tuple(replace(c, status=status) if c.seq == seq else c for c in commands)


def retry_now(commands: Commands, now: datetime) -> Commands:
    """The link is back: what has no answer is due at once."""
    return tuple(
        replace(c, status=Status.UNKNOWN, next_try=now)
        if c.status in {Status.SENT, Status.UNKNOWN}
        else c
        for c in commands
    )


def _pause(command: SupplyCommand, salt: str) -> timedelta:
    base_s = RETRY_S[min(command.attempts, len(RETRY_S)) - 1]
    spread = crc32(f"{salt}/{command.seq}/{command.attempts}".encode()) % (2 * JITTER_PERCENT + 1)
    return timedelta(seconds=base_s * (100 - JITTER_PERCENT + spread) / 100)
