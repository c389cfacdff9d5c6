"""Templates of SML frames: where the values of the one list in a file stand.

What decides about meaning must be the same: the shape, message tags, names, units, scalers, the
choice of a time, and the maker in a server id. All other contents may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.crc import x25_fits
from firmware_profiles.codecs.sml import messages as sml
from firmware_profiles.codecs.sml.tree import Number, Tree, long_length, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_SIZE = 8
"""The start sequence of the frame; the end sequence with its check takes as many."""
ESCAPE = b"\x1b\x1b\x1b\x1b"
_CRC_TAG = 0x63
_MESSAGE_ITEMS = 6
_LIST = 0x70


class Leaf:
    """An element that holds bytes, and where they stand in the frame."""

    __slots__ = ("places", "value")

    def __init__(self, value: Tree, places: range) -> None:
        self.value = value
        self.places = places


class Branch(list["Leaf | Branch"]):
    """A list."""


def leaves(branch: Branch) -> Iterator[Leaf]:
    """All leaves under a branch."""
    for one in branch:
        if isinstance(one, Leaf):
            yield one
        else:
            yield from leaves(one)


def placed_messages(frame: bytes) -> list[Branch] | None:
    """The messages of a frame that `messages.decode` accepted, with the places of their leaves.

    Returns: None for a frame with noise around it, doubled escapes, or another CRC than X.25.

    Raises: DecodeError for bytes that the decoder did not accept.
    """
    if not plain_frame(frame) or not x25_fits(frame):
        return None
    found: list[Branch] = []
    position = HEAD_SIZE
    while position < len(frame) - HEAD_SIZE:
        if frame[position] == 0:
            position += 1
            continue
        message, stop = _placed(frame, position)
        if not isinstance(message, Branch) or not message_fits(frame, position, stop):
            return None
        found.append(message)
        position = stop
    return found


def plain_frame(frame: bytes) -> bool:
    """Whether the first escape behind the start is that of the end."""
    return frame.find(ESCAPE, HEAD_SIZE) == len(frame) - HEAD_SIZE


def message_fits(frame: bytes, start: int, stop: int) -> bool:
    """Whether a message with a CRC of two bytes passes it; then comes the end mark."""
    crc = stop - 3
    return frame[crc - 1] == _CRC_TAG and x25_fits(frame[start : crc - 1] + frame[crc : stop - 1])


def spans(frame: bytes) -> list[tuple[int, int]]:
    """Where the messages of a frame begin and end."""
    found, position = [], HEAD_SIZE
    while position < len(frame) - HEAD_SIZE:
        if frame[position] == 0:
            position += 1
            continue
        _, stop = parse(frame, position)
        found.append((position, stop))
        position = stop
    return found


def _placed(frame: bytes, start: int) -> tuple[Leaf | Branch, int]:
    """The element at a position, and the position behind it. Raises DecodeError."""
    tag = frame[start]
    if tag >= 0x80:
        kind, length, position = long_length(frame, start)
        if kind == _LIST:
            return _branch(frame, position, length)
        return Leaf(frame[position : start + length], range(position, start + length)), (
            start + length
        )
    if tag & 0x70 == _LIST:
        return _branch(frame, start + 1, tag & 0x0F)
    value, stop = parse(frame, start)
    return Leaf(value, range(start + 1, stop)), stop


def _branch(frame: bytes, position: int, count: int) -> tuple[Branch, int]:
    branch = Branch()
    for _ in range(count):
        one, position = _placed(frame, position)
        branch.append(one)
    return branch, position


def list_of(messages: list[Branch]) -> Branch | None:
    """The body of the only value list in a file."""
    found = [body for one in messages if (body := _list_body(one)) is not None]
    return found[0] if len(found) == 1 else None


def _list_body(message: Branch) -> Branch | None:
    if len(message) != _MESSAGE_ITEMS or not isinstance(choice := message[3], Branch):
        return None
    tag, body = choice
    if isinstance(tag, Leaf) and isinstance(tag.value, Number) and isinstance(body, Branch):
        return body if tag.value.value == sml.GET_LIST_RESPONSE else None
    return None


def tags_of(messages: list[Branch]) -> Iterator[Leaf]:
    """What tells the kind of each message."""
    for message in messages:
        choice = message[3]
        if isinstance(choice, Branch) and isinstance(choice[0], Leaf):
            yield choice[0]
