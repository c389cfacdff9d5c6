"""Formats of makers that send no records, or blocks of their own among the records.

A format is chosen by maker, version and device type. What it says is given as ordinary records,
under the header that the standard has for such a value. Only formats that are known from published
telegrams with their readings are here; another payload is refused, another block stays hex text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.cursor import unsupported
from firmware_profiles.codecs.mbus.telegram import Telegram
from firmware_profiles.codecs.wmbus.makers import apator, blocks, diehl, techem

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.transport import Address

_CI_FIRST, _CI_LAST = 0xA0, 0xB7

_READERS: tuple[Callable[[Address, bytes, bytes], tuple[Address, list[Record]] | None], ...] = (
    techem.read,
    diehl.read,
    apator.read,
)
"""Each gives the address by the standard and the records, or None for a foreign payload."""


def is_maker_ci(ci: int) -> bool:
    """Whether a CI field announces a payload of the maker's own."""
    return _CI_FIRST <= ci <= _CI_LAST


def read(address: Address, data: bytes, start: int) -> Telegram:
    """The message of a frame whose maker's CI field stands at `start`.

    Raises:
        DecodeError: TRUNCATED, or UNSUPPORTED for a format that we do not know.
    """
    head, payload = data[: start + 1], data[start + 1 :]
    for reader in _READERS:
        found = reader(address, head, payload)
        if found:
            meter, records = found
            return Telegram(meter, tuple(records))
    raise unsupported(
        f"a payload of maker {address.maker}, version {address.version:02X},"
        f" type {address.device_type:02X}",
        start,
    )


read_instead = blocks.read_instead
open_records = diehl.open_records


def open_blocks(address: Address, records: tuple[Record, ...]) -> tuple[Record, ...]:
    """The records, with those behind them that a maker packed into a block of its own."""
    found = [extra for record in records for extra in blocks.read(address, record)]
    return (*records, *found) if found else records
