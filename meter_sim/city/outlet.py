"""The sending side of one radio: frames in a row, each waiting for a free channel. Pure.

Listen before talk as in IEEE 802.15.4: a random backoff, then a look at the channel; when it is
busy, another, longer backoff from its end. An acknowledgement goes first and without backoff.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_sim.medium import SLOT_US, WAIT_MAX_US

if TYPE_CHECKING:
    from meter_sim.city.dice import Dice

HACK = 7
"""Type of a hop acknowledgement, the low half of a frame's first octet."""
EXPONENT_MIN, EXPONENT_MAX = 3, 5
WAITING_MAX = 64


@dataclass(slots=True, eq=False)
class Waiting:
    """A frame that wants to go out."""

    frame: bytes
    since_us: int
    is_ack: bool
    looks: int = 0


@dataclass(slots=True)
class Outlet:
    """What one radio still has to send.

    Attributes:
        sending: a frame of ours is on the air.
        turn: names the look at the channel that counts; older ones are void.
    """

    dice: Dice
    waiting: deque[Waiting] = field(default_factory=deque)
    sending: bool = False
    turn: int = 0

    def put(self, now_us: int, frame: bytes) -> int | None:
        """Take a frame. Returns: when to look at the channel, None when a look is planned."""
        if len(self.waiting) >= WAITING_MAX:
            self.waiting.pop()
        entry = Waiting(frame, now_us, is_ack=frame[0] & 0xF == HACK)
        was_idle = not self.waiting
        if not entry.is_ack:
            self.waiting.append(entry)
        else:
            behind = sum(1 for held in self.waiting if held.is_ack)
            self.waiting.insert(behind, entry)
        first = self.waiting[0] is entry
        return self.look(now_us) if (was_idle or first) and not self.sending else None

    def look(self, free_us: int) -> int | None:
        """When to look for the first frame, given when the channel is free; None without one."""
        if not self.waiting:
            return None
        self.turn += 1
        entry = self.waiting[0]
        entry.looks += 1
        if entry.is_ack and entry.looks == 1:
            return free_us
        exponent = min(EXPONENT_MIN + entry.looks - 1, EXPONENT_MAX)
        slots = 2 if entry.is_ack else 1 << exponent
        return free_us + self.dice.randrange(slots * SLOT_US)

    def gives_up(self, now_us: int) -> bool:
        """Whether the first frame has waited too long; it is dropped then."""
        if now_us - self.waiting[0].since_us <= WAIT_MAX_US:
            return False
        self.waiting.popleft()
        return True
