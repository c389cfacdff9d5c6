"""Templates of push lists: the real decoder's walk over values that know where they stand.

Free to differ are numbers that become readings, the clock, texts that name the device, the invoke
id and the frame's check; all else decides about meaning and must be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.crc import x25_fits
from firmware_profiles.codecs.dlms.dialects import MARKS
from firmware_profiles.codecs.dlms.push import (
    Collector,
    described,
    entries_of,
    is_obis,
    parse_notification,
)
from firmware_profiles.codecs.dlms.transport import WRAPPER_VERSION, split_wrapper
from firmware_profiles.codecs.hdlc import FLAG, parse_frames, without_llc
from firmware_profiles.shape import Form, Slot, StampSlot, Template, build, slot
from ohmesh.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.push import Dialect

_INVOKE_ID = range(1, 5)
_CHECK_SIZE = 2


class _Int(int):
    places: range
    form: Form


class _Octets(bytes):
    places: range


class _Text(str):
    __slots__ = ("places",)
    places: range


class _Reader(axdr.Reader):
    """Reads values that know their bytes; what stands in compact arrays does not."""

    def value(self, depth: int) -> Value:
        start = self.offset
        found = super().value(depth)
        tag, stop = self.data[start], self.offset
        placed: _Int | _Octets | _Text
        if tag in axdr.INTEGERS and isinstance(found, int):
            placed = _Int(found)
            placed.form = Form.SIGNED if axdr.INTEGERS[tag][1] else Form.UNSIGNED
            placed.places = range(start + 1, stop)
        elif tag == axdr.OCTETS and isinstance(found, bytes):
            placed = _Octets(found)
            placed.places = range(stop - len(found), stop)
        elif tag == axdr.VISIBLE and isinstance(found, str):
            placed = _Text(found)
            placed.places = range(stop - len(found), stop)
        else:
            return found
        return placed


class _Collector(Collector):
    """Collects the texts that may differ, too.

    Six octets may be taken for a logical name, and a maker's mark chooses the dialect.
    """

    def __init__(self, zone: tzinfo, dialect: Dialect, clock: bytes) -> None:
        super().__init__(zone, dialect, clock)
        self.names: list[range] = []

    def add_text(self, obis: bytes, value: Value) -> None:
        del obis
        octets = value.encode("latin-1") if isinstance(value, _Text) else value
        if not isinstance(value, _Octets | _Text) or is_obis(octets) or len(value) == 6:
            return
        if isinstance(octets, bytes) and not octets.startswith(MARKS):
            self.names.append(value.places)


def learn_push(
    payload: bytes, zone: tzinfo, dialect_of: Callable[[tuple[Value, ...]], Dialect]
) -> Template | None:
    """The template of a telegram that `decode_telegram` accepted without keys.

    Returns: None for what takes several frames, and for lists with descriptions, whose dialect
    hangs on values.
    """
    framed = payload[:1] == bytes((FLAG,))
    try:
        apdu = _only_apdu(payload, framed=framed)
        return None if apdu is None else _learn(payload, apdu, zone, dialect_of, framed=framed)
    except DecodeError:
        return None


def _only_apdu(payload: bytes, *, framed: bool) -> bytes | None:
    if payload[:2] == WRAPPER_VERSION:
        messages = split_wrapper(payload)
        return messages[0] if len(messages) == 1 else None
    if not framed:
        return without_llc(payload)
    frames = parse_frames(payload)
    body = payload[1:-1]
    if len(frames) > 1 or frames[0].segmented or frames[0].to_bytes() != payload:
        return None
    return without_llc(frames[0].information) if x25_fits(body) else None


def _learn(
    payload: bytes,
    apdu: bytes,
    zone: tzinfo,
    dialect_of: Callable[[tuple[Value, ...]], Dialect],
    *,
    framed: bool,
) -> Template | None:
    base = len(payload) - len(apdu) - (_CHECK_SIZE + 1 if framed else 0)
    notification = parse_notification(apdu, _read)
    body = notification.body
    items = body if isinstance(body, tuple) else (body,)
    if described(items) is not None:
        return None
    collector = _Collector(zone, dialect_of(items), notification.date_time)
    for entry in entries_of(items, dialect_of(items)):
        collector.add(entry)
    names = [_moved(places, base) for places in collector.names]
    head = _head_stamp(apdu)
    stamps = _stamps(collector, head, base)
    free = [*names, _moved(_INVOKE_ID, base), _moved(head, base)]
    if framed:
        free.append(range(len(payload) - 1 - _CHECK_SIZE, len(payload) - 1))
    return build(
        payload,
        free=free,
        slots=[_slot(collector, number, base, bool(stamps)) for number in collector.numbers],
        stamps=stamps,
        sound=_sound([places.start for places in names], framed=framed),
    )


def _read(data: bytes, offset: int) -> tuple[Value, int]:
    reader = _Reader(data, offset)
    return reader.value(0), reader.offset


def _moved(places: range, base: int) -> range:
    return range(places.start + base, places.stop + base)


def _head_stamp(apdu: bytes) -> range:
    """Where the notification's own stamp stands, empty for none; the decoder knows its size."""
    start = _INVOKE_ID.stop + (apdu[_INVOKE_ID.stop] == axdr.OCTETS) + 1
    return range(start, start + apdu[start - 1])


def _stamps(collector: Collector, head: range, base: int) -> list[StampSlot]:
    clock = collector.clock
    if not clock:
        return []
    places = _moved(clock.places if isinstance(clock, _Octets) else head, base)
    return [StampSlot(places.start, places.stop, collector.stamp)]


def _slot(
    collector: Collector,
    number: tuple[bytes, object, tuple[int, int] | None],
    base: int,
    stamped: bool,  # noqa: FBT001 - whether there is a stamp
) -> Slot | None:
    obis, value, scaler_unit = number
    if not isinstance(value, _Int):
        return None
    register, exponent = collector.plan(obis, scaler_unit)
    places = _moved(value.places, base)
    return slot(places, value.form, register, exponent, 0 if stamped else None)


def _sound(names: list[int], *, framed: bool) -> Callable[[bytes], bool]:
    def sound(payload: bytes) -> bool:
        if framed and not x25_fits(payload[1:-1]):
            return False
        return not any(payload.startswith(MARKS, start) for start in names)

    return sound
