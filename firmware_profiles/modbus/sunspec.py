"""SunSpec: find the meter models among registers.

A device begins with the marker `SunS`; then follow models, each with its id and length, up to the
id FFFF. A block that begins with a meter model's own id and length is read too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = b"SunS"
_END = 0xFFFF
LENGTHS = {**dict.fromkeys(range(201, 205), 105), **dict.fromkeys(range(211, 215), 124)}
"""Meter model id -> registers after its id and length."""


def models(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Id and registers, the id first, of the meter models in a block that begins a device."""
    position = 0
    if data.startswith(_MARKER):
        position = len(_MARKER)
    elif LENGTHS.get(_word(data, 0)) != _word(data, 2):
        return
    while position + 4 <= len(data):
        model, length = _word(data, position), _word(data, position + 2)
        if model == _END:
            return
        end = position + 4 + 2 * length
        if LENGTHS.get(model) == length and end <= len(data):
            yield model, data[position:end]
        position = end


def _word(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "big")
