"""The engine's alarm clock: one deadline for each purpose, no cancel cost."""

from enum import IntEnum, auto

_NEVER = 1 << 62
"""Later than any time; every comparison works without asking whether a deadline stands."""


class Timer(IntEnum):
    """What a deadline is for."""

    TRICKLE = 0
    DECIDE = auto()
    SOLICIT = auto()
    POISON = auto()
    HOLD_DOWN = auto()
    ANSWER = auto()
    PROBE = auto()
    QUEUE = auto()
    REGISTER = auto()
    RESEND = auto()
    ROOT_SEQ = auto()
    ROOT_ACKS = auto()
    ROOT_COMMANDS = auto()
    ROOT_GROUND = auto()
    OUTAGE = auto()
    JOIN = auto()
    HOUSEKEEPING = auto()


class Timers:
    """Deadlines in ms; few enough that the minimum is found by looking at all."""

    __slots__ = ("due_ms",)

    def __init__(self) -> None:
        """Set nothing."""
        self.due_ms = [_NEVER] * len(Timer)

    def set(self, timer: Timer, at_ms: int) -> None:
        """Set or move a deadline."""
        self.due_ms[timer] = at_ms

    def set_earlier(self, timer: Timer, at_ms: int) -> None:
        """Set the deadline unless an earlier one stands."""
        self.due_ms[timer] = min(self.due_ms[timer], at_ms)

    def cancel(self, timer: Timer) -> None:
        """Clear a deadline."""
        self.due_ms[timer] = _NEVER

    def is_set(self, timer: Timer) -> bool:
        """Return whether a deadline stands."""
        return self.due_ms[timer] != _NEVER

    @property
    def next_ms(self) -> int | None:
        """The earliest deadline."""
        earliest = min(self.due_ms)
        return earliest if earliest != _NEVER else None
