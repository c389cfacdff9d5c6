"""The engine's alarm clock: one deadline for each purpose, no cancel cost."""

from enum import IntEnum, auto

_NEVER = (1 << 62) - 1
"""Later than any time; the largest number the compiled copy holds without making an object."""
_UNKNOWN = -1
"""Earlier than any time: no deadline is taken for the earliest before all were looked at."""


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
    HOUSEKEEPING = auto()


class Timers:
    """Deadlines in ms; the earliest is remembered until it moves, then all are looked at.

    A `Timer` is taken as the integer it is, which is the fastest index of a list.
    """

    __slots__ = ("_earliest_ms", "due_ms")

    def __init__(self) -> None:
        """Set nothing."""
        self.due_ms = [_NEVER] * len(Timer)
        self._earliest_ms = _NEVER

    def set(self, timer: int, at_ms: int) -> None:
        """Set or move a deadline."""
        if at_ms < self._earliest_ms:
            self._earliest_ms = at_ms
        elif self.due_ms[timer] == self._earliest_ms:
            self._earliest_ms = _UNKNOWN
        self.due_ms[timer] = at_ms

    def set_earlier(self, timer: int, at_ms: int) -> None:
        """Set the deadline unless an earlier one stands."""
        if at_ms < self.due_ms[timer]:
            self.set(timer, at_ms)

    def cancel(self, timer: int) -> None:
        """Clear a deadline."""
        if self.due_ms[timer] != _NEVER:
            self.set(timer, _NEVER)

    def is_set(self, timer: int) -> bool:
        """Return whether a deadline stands."""
        return self.due_ms[timer] != _NEVER

    @property
    def next_ms(self) -> int | None:
        """The earliest deadline."""
        if self._earliest_ms == _UNKNOWN:
            self._earliest_ms = min(self.due_ms)
        return self._earliest_ms if self._earliest_ms != _NEVER else None
