"""Properties of the low-voltage smart electric energy meter, class 0288.

Source: ECHONET specification, appendix "Detailed requirements for ECHONET device objects",
low-voltage smart electric energy meter class.

    D3  coefficient         4 bytes, 1 when the meter refuses it
    E1  unit                1 byte, EXPONENTS
    E0  E3                  energy now, import and export: count 4
    E2  E4                  energies of a day: days ago 2, then 48 counts from 00:00
    EA  EB                  energy at the last half-hour: year 2, month .. second 5, count 4
    D0                      energies of the last minute: stamp 7, import 4, export 4
    EC                      energies of half-hours: year 2, month .. minute 4, n, n x (4, 4)
    E7                      power W, signed 4          E8  currents 0.1 A, signed 2 + 2 (R, T)
    97  98                  clock hour, minute; date year 2, month, day
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.codecs.clock import to_utc
from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.number import reading as number_reading
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.base import RegisterFor
    from firmware_profiles.codecs.echonet import Frame

METER_CLASS = b"\x02\x88"
EXPONENTS = {
    **{3 - n: n for n in range(4)},
    4: -1,
    **{0x0A + n: 4 + n for n in range(4)},
}
"""E1 code -> decimal exponent of one count in Wh: 00 is 1 kWh, 01 0.1 kWh ... 0A 10 kWh ..."""
COUNT_MAX = 99_999_999
_NO_DATA = 0xFFFFFFFE
_NO_POWER = frozenset({0x7FFFFFFF, 0x7FFFFFFE, -0x80000000})
_NO_CURRENT = frozenset({0x7FFF, 0x7FFE, -0x8000})
_IMPORT, _EXPORT = Obis.parse("1-0:1.8.0"), Obis.parse("1-0:2.8.0")
_POWER = Obis.parse("1-0:16.7.0")
_COUNT = Obis.parse("1-0:0.3.0")
_CURRENTS = (Obis.parse("1-0:31.7.0"), Obis.parse("1-0:71.7.0"))
"""R and T are the first and the third conductor; a single-phase three-wire service has no S."""
ENERGY = {
    0xE0: (_IMPORT,),
    0xE3: (_EXPORT,),
    0xE2: (_IMPORT,),
    0xE4: (_EXPORT,),
    0xEA: (_IMPORT,),
    0xEB: (_EXPORT,),
    0xD0: (_IMPORT, _EXPORT),
    0xEC: (_IMPORT, _EXPORT),
}
"""Properties of energy counts, and which energies each count of a row is."""
_DAY_ROWS = 48
_YEARS = range(2000, 2100)
_HALF_HOUR = timedelta(minutes=30)


def read(frame: Frame, register_for: RegisterFor, zone: tzinfo) -> Decoded:
    """What a frame of a meter says. Raises DecodeError(MALFORMED)."""
    items = [*frame.properties, *(frame.got or ())]
    pairs = [(item.code, item.data) for item in items if item.data]
    if frame.source[:2] != METER_CLASS:
        return Decoded({}, (), None, {f"{code:02X}": data.hex() for code, data in pairs})
    refused = {item.code for item in items if not item.data}
    meter = _Meter(dict(pairs), refused, register_for, zone)
    readings: list[Reading] = []
    texts: dict[str, str] = {}
    for code, data in pairs:
        found = list(meter.readings(code, data))
        readings += found
        if not found:
            texts[f"{code:02X}"] = meter.text(code, data)
    stamps = [r.time for r in readings if r.time is not None]
    return Decoded(meter.device(), tuple(readings), meter.time or max(stamps, default=None), texts)


class _Meter:
    """What the properties of one frame say of each other."""

    def __init__(
        self,
        found: dict[int, bytes],
        refused: set[int],
        register_for: RegisterFor,
        zone: tzinfo,
    ) -> None:
        self._found = found
        self._register_for = register_for
        self._zone = zone
        self._coefficient = 1 if 0xD3 in refused else None
        if 0xD3 in found:
            self._coefficient = _unsigned(found[0xD3], 4)
        code = _unsigned(found[0xE1], 1) if 0xE1 in found else None
        self._exponent = None if code is None else EXPONENTS.get(code)
        self.time = self._clock()

    def readings(self, code: int, data: bytes) -> Iterator[Reading]:
        """The readings of one property, none when it holds no number with a meaning."""
        if code in ENERGY:
            for time, counts in self._rows(code, data):
                for obis, count in zip(ENERGY[code], counts, strict=True):
                    if count < _NO_DATA:
                        yield self._energy(code, obis, count, time)
        elif code == 0xE1 and self._exponent is not None and self._found.keys().isdisjoint(ENERGY):
            # Alone, it tells what a count of this meter is worth.
            yield number_reading(Register("raw.E1", _COUNT, Unit.WH, 0), (1, self._exponent))
        elif code == 0xE7:
            value = _signed(data, 4)
            if value not in _NO_POWER:
                yield number_reading(self._register_for(_POWER, Unit.W), (value, 0), self.time)
        elif code == 0xE8:
            yield from self._currents(data)

    def _currents(self, data: bytes) -> Iterator[Reading]:
        _need(data, 4)
        for obis, half in zip(_CURRENTS, (data[:2], data[2:]), strict=True):
            value = _signed(half, 2)
            if value not in _NO_CURRENT:
                yield number_reading(self._register_for(obis, Unit.A), (value, -1), self.time)

    def text(self, code: int, data: bytes) -> str:
        """A property without readings, for people."""
        if code in (0xD3, 0xD7):
            return str(int.from_bytes(data, "big"))
        if code == 0x98 and len(data) == 4:
            return f"{int.from_bytes(data[:2], 'big'):04}-{data[2]:02}-{data[3]:02}"
        if code in (0xE2, 0xE4):
            counts = " ".join(str(n) for _, (n,) in self._day(data, None))
            return f"day {int.from_bytes(data[:2], 'big')}: {counts}"
        return data.hex()

    def device(self) -> dict[str, str]:
        """Names of the meter."""
        device: dict[str, str] = {}
        if 0xC0 in self._found:
            device["id"] = self._found[0xC0].hex()
        if 0x8D in self._found:
            serial = self._found[0x8D].rstrip(b"\0 ").decode("utf-8", "replace")
            device["serial"] = serial
            device.setdefault("id", serial)
        if 0x8A in self._found:
            device["manufacturer"] = self._found[0x8A].hex()
        return device

    def _energy(self, code: int, obis: Obis, count: int, time: datetime | None) -> Reading:
        if self._coefficient is None or self._exponent is None:
            return Reading(Register(f"raw.{code:02X}", obis, Unit.ONE, 0), count, time)
        register = self._register_for(obis, Unit.WH)
        return number_reading(register, (count * self._coefficient, self._exponent), time)

    def _rows(self, code: int, data: bytes) -> Iterator[tuple[datetime | None, tuple[int, ...]]]:
        """Time and counts of each row of an energy property."""
        if code in (0xE0, 0xE3):
            yield self.time, (_unsigned(data, 4),)
        elif code in (0xEA, 0xEB):
            _need(data, 11)
            yield self._stamp(data[:7]), (_unsigned(data[7:], 4),)
        elif code == 0xD0:
            _need(data, 15)
            yield self._stamp(data[:7]), (_unsigned(data[7:11], 4), _unsigned(data[11:], 4))
        elif code == 0xEC:
            yield from self._half_hours(data)
        elif self.time is not None and self._exponent is not None:
            yield from self._day(data, self.time)

    def _half_hours(self, data: bytes) -> Iterator[tuple[datetime | None, tuple[int, ...]]]:
        """The stamp is that of the first row; each next one is half an hour older."""
        _need(data[6:7], 1)
        _need(data, 7 + 8 * data[6])
        last = self._stamp(data[:6])
        for row in range(data[6]):
            at = 7 + 8 * row
            time = last - row * _HALF_HOUR if last else None
            yield time, (_unsigned(data[at : at + 4], 4), _unsigned(data[at + 4 : at + 8], 4))

    def _day(
        self, data: bytes, now: datetime | None
    ) -> Iterator[tuple[datetime | None, tuple[int, ...]]]:
        """The 48 counts of a day; without the date they have no time."""
        _need(data, 2 + 4 * _DAY_ROWS)
        days_ago = timedelta(days=int.from_bytes(data[:2], "big"))
        midnight = None
        if now is not None:
            local = now.astimezone(self._zone).replace(hour=0, minute=0, tzinfo=None)
            midnight = to_utc(local - days_ago, self._zone)
        for row in range(_DAY_ROWS):
            time = midnight + row * _HALF_HOUR if midnight else None
            yield time, (_unsigned(data[2 + 4 * row : 6 + 4 * row], 4),)

    def _clock(self) -> datetime | None:
        date, clock = self._found.get(0x98), self._found.get(0x97)
        if date is None or clock is None:
            return None
        _need(date, 4)
        _need(clock, 2)
        return self._stamp(date + clock)

    def _stamp(self, octets: bytes) -> datetime | None:
        """The instant of year 2, month, day, hour, minute [, second]; None when it is no time."""
        year = int.from_bytes(octets[:2], "big")
        if year not in _YEARS:
            return None
        try:
            return to_utc(datetime(year, *octets[2:]), self._zone)  # noqa: DTZ001 - meter-local
        except ValueError:
            return None


def _need(data: bytes, size: int) -> None:
    if len(data) != size:
        raise malformed(f"a property of {len(data)} bytes where {size} belong")


def _unsigned(data: bytes, size: int) -> int:
    _need(data, size)
    return int.from_bytes(data, "big")


def _signed(data: bytes, size: int) -> int:
    _need(data, size)
    return int.from_bytes(data, "big", signed=True)
