"""Data that a meter pushes: DataNotification, and lists of COSEM values in the shapes of makers.

    DataNotification: 0F | invoke id 4 | length | date-time 0 or 12 | data

A body names its values in one of three ways, and a list may mix the first two:

    by OBIS        (obis, value), (obis, value, (scaler, unit)), or flat: obis, value, obis, value
    by description (descriptions, value, value ...): one (class, obis, attribute, index) a value,
                   the list of descriptions being its own first value
    by position    values alone; the dialect says what stands where
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from firmware_profiles import canonical
from firmware_profiles.api import Decoded
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.cursor import malformed, unsupported
from firmware_profiles.codecs.dlms.clock import SIZE as STAMP_SIZE
from firmware_profiles.codecs.dlms.clock import Stamp, parse_date_time
from firmware_profiles.codecs.dlms.transport import unwrap
from firmware_profiles.codecs.number import to_register
from firmware_profiles.codecs.units import DLMS_UNITS
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import tzinfo

    from firmware_profiles.api import Keys
    from firmware_profiles.codecs.axdr import Value

_NOTIFICATION = b"\x0f"
_HEAD_SIZE = 5
_OBIS_SIZE = 6
_MEDIUM_MAX = 15
_CLOCKS = {bytes((0, 0, 1, 0, 0, 255)), bytes((0, 1, 1, 0, 0, 255)), b""}
"""Names of the meter's clock; a date-time without a name is one, too."""
_UNNAMED = "data"
_NAME_LENGTH_MAX = 40
_UNITLESS = frozenset({Unit.ONE, Unit.CODE, Unit.COUNT})
"""Units that DLMS writes as 255."""
_ATTRIBUTE_SCALER_UNIT = 3
_DEVICE_NAMES = {
    bytes((0, 0, 42, 0, 0)): "logical_name",
    bytes((0, 0, 96, 1, 0)): "serial",
    bytes((0, 0, 96, 1, 1)): "equipment",
    bytes((0, 0, 96, 1, 7)): "model",
    bytes((1, 1, 96, 1, 1)): "model",
    bytes((1, 1, 0, 0, 5)): "serial",
    bytes((1, 0, 0, 0, 0)): "serial",
    bytes((1, 0, 0, 2, 129)): "list",
    bytes((1, 1, 0, 2, 129)): "list",
    b"": "list",
}
"""OBIS A-B:C.D.E -> name in `Decoded.device`."""


class Entry(NamedTuple):
    """One named value.

    Attributes:
        obis: logical name, 6 bytes.
        value: as A-XDR gave it.
        scaler_unit: scaler and DLMS unit code, None when the telegram does not say.
    """

    obis: bytes
    value: Value
    scaler_unit: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A DataNotification.

    Attributes:
        invoke_id: long-invoke-id-and-priority.
        date_time: the octets of its stamp, empty for none.
        body: the data.
    """

    invoke_id: int
    date_time: bytes
    body: Value


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a maker writes values without scaler and unit.

    Attributes:
        manufacturer: for `Decoded.device`, empty when not known.
        exponents: base unit -> decimal exponent of the integer.
        layouts: OBIS codes by position, one list for each length of a list without names.
    """

    manufacturer: str = ""
    exponents: Mapping[Unit, int] = field(default_factory=dict)
    layouts: tuple[tuple[str, ...], ...] = ()

    def layout(self, length: int) -> tuple[bytes, ...] | None:
        """Logical names by position in a list of a length."""
        return next((_names(codes) for codes in self.layouts if len(codes) == length), None)


@lru_cache(maxsize=64)
def _names(codes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(Obis.parse(code).to_bytes() for code in codes)


def parse_notification(
    apdu: bytes, read: Callable[[bytes, int], tuple[Value, int]] = axdr.decode
) -> Notification:
    """Read a DataNotification APDU.

    Kaifa writes the stamp with the tag of an octet-string in front of its length.

    Args:
        apdu: its bytes.
        read: reads the A-XDR value at an offset, as `axdr.decode` does.

    Raises:
        DecodeError: UNSUPPORTED for another APDU, and what A-XDR raises.
    """
    if apdu[:1] != _NOTIFICATION:
        raise unsupported(f"the APDU {apdu[:1].hex() or 'without a byte'}, not a DataNotification")
    if len(apdu) <= _HEAD_SIZE:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no DataNotification", offset=len(apdu))
    offset = _HEAD_SIZE
    if apdu[offset] == axdr.OCTETS:
        offset += 1
    size = apdu[offset] if offset < len(apdu) else 0
    offset += 1
    if size not in {0, STAMP_SIZE}:
        raise malformed(f"a date-time of {size} bytes", offset - 1)
    date_time = apdu[offset : offset + size]
    body, end = read(apdu, offset + size)
    if end != len(apdu):
        raise malformed(f"{len(apdu) - end} bytes behind the notification", end)
    return Notification(int.from_bytes(apdu[1:_HEAD_SIZE], "big"), date_time, body)


def is_obis(value: Value) -> TypeGuard[bytes]:
    """Whether a value can be a logical name: six octets, group A a medium and no letter."""
    return isinstance(value, bytes) and len(value) == _OBIS_SIZE and value[0] <= _MEDIUM_MAX


def entries(items: tuple[Value, ...]) -> Iterator[Entry]:
    """The values of a list that names them by OBIS; what has no name has an empty one."""
    index, count = 0, len(items)
    while index < count:
        item = items[index]
        index += 1
        if isinstance(item, tuple):
            yield from _structure(item)
        elif is_obis(item) and index < count:
            value = items[index]
            index += 1
            scaler_unit = _scaler_unit(items[index]) if index < count else None
            index += scaler_unit is not None
            yield Entry(item, value, scaler_unit)
        elif item is not None:
            yield Entry(b"", item)


def _structure(item: tuple[Value, ...]) -> Iterator[Entry]:
    first = item[0] if item else None
    if is_obis(first) and 2 <= len(item) <= 3:
        yield Entry(first, item[1], _scaler_unit(item[2]) if len(item) == 3 else None)
    else:
        yield from entries(item)


def _scaler_unit(value: Value) -> tuple[int, int] | None:
    if isinstance(value, tuple) and len(value) == 2:
        scaler, unit = value
        if isinstance(scaler, int) and isinstance(unit, int):
            return scaler, unit
    return None


def described(items: tuple[Value, ...]) -> list[Entry] | None:
    """The values of a list that begins with its own descriptions; None for another list."""
    head = items[0] if items else None
    if not isinstance(head, tuple) or len(head) < 2 or len(head) > len(items):
        return None
    found: list[Entry] = []
    units: dict[bytes, tuple[int, int]] = {}
    for description, value in zip(head[1:], items[1:], strict=False):
        if not (isinstance(description, tuple) and len(description) == 4):
            return None
        _, obis, attribute, _ = description
        if not is_obis(obis):
            return None
        scaler_unit = _scaler_unit(value)
        if attribute == _ATTRIBUTE_SCALER_UNIT and scaler_unit:
            units[obis] = scaler_unit
        else:
            found.append(Entry(obis, value))
    return [entry._replace(scaler_unit=units.get(entry.obis)) for entry in found]


def entries_of(items: tuple[Value, ...], dialect: Dialect) -> list[Entry]:
    """The named values of a notification's body."""
    if (named := described(items)) is not None:
        return named
    layout = dialect.layout(len(items))
    if layout is not None and not is_obis(items[0]):
        return [Entry(obis, value) for obis, value in zip(layout, items, strict=True)]
    return list(entries(items))


@lru_cache(maxsize=8192)
def _plan(
    obis: bytes, scaler_unit: tuple[int, int] | None, exponents: tuple[tuple[Unit, int], ...]
) -> tuple[Register, int]:
    """The register of a logical name, and the exponent of its integer."""
    code = Obis.from_bytes(obis)
    if scaler_unit is not None:
        scaler, unit_code = scaler_unit
        unit, exponent = DLMS_UNITS.get(unit_code, (Unit.ONE, 0))
        known = canonical.usual(code) if unit is Unit.ONE else None
        if known is not None and known.unit in _UNITLESS:
            return known, scaler
        return canonical.register_for(code, unit, scaler), scaler + exponent
    usual = canonical.usual(code)
    if usual is None:
        return canonical.register_for(code, Unit.ONE), 0
    return usual, dict(exponents).get(usual.unit, 0)


def text_of(value: Value) -> str:
    """A value as text: characters when all are printable, otherwise hex or the number."""
    if isinstance(value, bytes):
        spelled = value.decode("latin-1")
        return spelled if spelled.isascii() and spelled.isprintable() else value.hex().upper()
    return str(value)


class Collector:
    """Turns entries into what a telegram says.

    Args:
        zone: of stamps without a deviation.
        dialect: how values without scaler and unit are written.
        clock: octets of the notification's stamp, empty for none.

    Attributes:
        clock: the octets of the time that counts, empty for none.
        numbers: logical name, number, scaler and unit.
    """

    def __init__(self, zone: tzinfo, dialect: Dialect, clock: bytes) -> None:
        self._zone = zone
        self._exponents = tuple(dialect.exponents.items())
        self.clock = clock
        self.device = {"manufacturer": dialect.manufacturer} if dialect.manufacturer else {}
        self.texts: dict[str, str] = {}
        self.numbers: list[tuple[bytes, int | Decimal, tuple[int, int] | None]] = []

    def add(self, entry: Entry) -> None:
        """Take one entry."""
        obis, value, scaler_unit = entry
        name = _DEVICE_NAMES.get(obis[:5])
        if isinstance(value, int | Decimal) and obis and not name:
            self.numbers.append((obis, value, scaler_unit))
        elif value is None:
            return
        elif obis in _CLOCKS and isinstance(value, bytes) and len(value) == STAMP_SIZE:
            self.clock = value
        else:
            self.add_text(obis, value)

    def add_text(self, obis: bytes, value: Value) -> None:
        """Take what is neither a number nor a time."""
        text = text_of(value)
        name = _DEVICE_NAMES.get(obis[:5])
        if name and text and len(text) <= _NAME_LENGTH_MAX:
            self.device[name] = text
        label = str(Obis.from_bytes(obis)) if obis else _UNNAMED
        self.texts[label] = f"{self.texts[label]} {text}" if label in self.texts else text

    def plan(self, obis: bytes, scaler_unit: tuple[int, int] | None) -> tuple[Register, int]:
        """The register of a logical name, and the exponent of its integer."""
        return _plan(obis, scaler_unit, self._exponents)

    def stamp(self, octets: bytes) -> Stamp:
        """The time in the octets of a clock; without octets there is none."""
        if not octets:
            return Stamp(None, Quality.ACTUAL)
        return parse_date_time(octets, self._zone)

    def result(self) -> Decoded:
        """What the telegram says. Raises DecodeError for a value beyond 64 bits."""
        time, quality = self.stamp(self.clock)
        readings = []
        for obis, number, scaler_unit in self.numbers:
            register, exponent = self.plan(obis, scaler_unit)
            mantissa, shift = _parts(number)
            fitted, value = to_register(register, mantissa, exponent + shift)
            readings.append(Reading(fitted, value, time, quality))
        return Decoded(self.device, tuple(readings), time, self.texts)


def _parts(number: int | Decimal) -> tuple[int, int]:
    """The integer and the exponent of a finite number."""
    if isinstance(number, int):
        return number, 0
    sign, digits, exponent = number.as_tuple()
    mantissa = int("".join(map(str, digits)))
    return -mantissa if sign else mantissa, int(exponent)


def decode_push(
    apdu: bytes, zone: tzinfo, dialect_of: Callable[[tuple[Value, ...]], Dialect]
) -> Decoded:
    """What a DataNotification says.

    Args:
        apdu: the notification.
        zone: of stamps without a deviation.
        dialect_of: chooses the dialect by the top-level values of the body.

    Raises:
        DecodeError: see `parse_notification`.
    """
    notification = parse_notification(apdu)
    body = notification.body
    items = body if isinstance(body, tuple) else (body,)
    dialect = dialect_of(items)
    collector = Collector(zone, dialect, notification.date_time)
    for entry in entries_of(items, dialect):
        collector.add(entry)
    return collector.result()


def decode_telegram(
    payload: bytes,
    zone: tzinfo,
    dialect_of: Callable[[tuple[Value, ...]], Dialect],
    *,
    keys: Keys | None = None,
    verify: bool = True,
) -> Decoded:
    """What the DataNotifications in a telegram say, whatever carried them.

    Raises:
        DecodeError: see `unwrap` and `decode_push`; KEY when deciphered bytes are no notification.
    """
    unwrapped = unwrap(payload, keys, verify=verify)
    if unwrapped.counter is not None and any(a[:1] != _NOTIFICATION for a in unwrapped.apdus):
        raise DecodeError(DecodeErrorKind.KEY, "deciphered, it is no notification: a wrong key?")
    parts = [decode_push(apdu, zone, dialect_of) for apdu in unwrapped.apdus]
    device: dict[str, str] = {}
    texts: dict[str, str] = {}
    for part in parts:
        device |= part.device
        texts |= part.texts
    if unwrapped.title:
        device["system_title"] = unwrapped.title
    readings = tuple(reading for part in parts for reading in part.readings)
    time = next((part.time for part in parts if part.time), None)
    return Decoded(device, readings, time, texts, unwrapped.counter)
