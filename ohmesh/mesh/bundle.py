"""Registration answers that have the same next hop share a frame.

After a cold start a root owes every meter an answer and has one exchange under way at a time. What
waits at it goes to a dozen neighbours, so nine answers of ten have company. The receiver takes a
shared frame apart and sends each answer on its way, again in company where there is any.
"""

from dataclasses import replace

from ohmesh.mesh.codec import REGACKS_FIXED_BYTES, answer_bytes
from ohmesh.mesh.frames import RegAck, RegAcks

SHARED_MAX_BYTES = 130
"""Longer frames carry more answers and are lost more often: 130 was better than 80, 100, 170 and
230 for a thousand meters that register at once (docs/adr/0076)."""


class Room:
    """What a frame that begins with an answer has room for."""

    __slots__ = ("_first", "_left_bytes")

    def __init__(self, first: RegAck) -> None:
        """Begin a frame with its first answer."""
        self._first = first
        self._left_bytes = SHARED_MAX_BYTES - REGACKS_FIXED_BYTES - answer_bytes(first)

    def take(self, other: RegAck) -> bool:
        """Take another answer in. Returns: False if there is no room or it is another root's."""
        size_bytes = answer_bytes(other)
        if other.head.origin != self._first.head.origin or size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        return True


def share(answers: list[RegAck]) -> RegAcks:
    """Return answers of one root with the same next hop as one frame.

    It ages like the oldest of them, and their ways begin at the receiver.
    """
    heads = [answer.head for answer in answers]
    hop_limit = min(head.hop_limit for head in heads)
    age_s = max(head.age_s for head in heads)
    time_s = max(answer.time_s for answer in answers)
    parts = []
    for answer, head in zip(answers, heads, strict=True):
        path = head.path[head.index :]
        rest = replace(head, hop_limit=hop_limit, age_s=age_s, index=0, path=path)
        parts.append(replace(answer, head=rest, time_s=time_s))
    return RegAcks(tuple(parts))
