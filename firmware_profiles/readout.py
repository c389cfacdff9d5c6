"""IEC 62056-21 data sets -> readings: which OBIS code, unit, number and time a set holds."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.codecs.clock import to_utc
from firmware_profiles.codecs.number import parse_number, reading
from firmware_profiles.codecs.units import text_unit
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import UNUSED, Obis

if TYPE_CHECKING:
    from datetime import tzinfo

    from firmware_profiles.base import RegisterFor
    from firmware_profiles.codecs.iec62056_21 import DataSet, Readout, Value
    from ohmesh.model.reading import Reading
    from ohmesh.model.unit import Unit

_PROFILE = re.compile(r"(?:\d+-\d+:)?P\.0[12]")
_DIGIT = re.compile("[0-9]")
_MAKER = re.compile(r"[A-Za-z]{3}")
_SEASONS = {"0": False, "1": True}
_ID_CODES = {(0, 0): "id", (96, 1): "serial"}


def readings_of_readout(readout: Readout, register_for: RegisterFor, zone: tzinfo) -> Decoded:
    """What a readout says.

    Args:
        readout: the decoded telegram.
        register_for: OBIS code and unit -> register.
        zone: of the meter's local stamps.

    Raises:
        DecodeError: MALFORMED for a number that is none.
    """
    texts: dict[str, str] = {}
    readings: list[Reading] = []
    units: dict[tuple[int, int, int], str] = {}
    time = _clock(readout, zone)
    for data in readout.data:
        found = _reading(data, units, register_for, time, zone)
        if found is not None:
            readings.append(found)
        elif rows := _load_profile(data, register_for, zone):
            readings += rows
        else:
            texts[data.address] = "".join(str(value) for value in data.values).strip()
    return Decoded(_device(readout, texts), tuple(readings), time, texts)


@lru_cache(maxsize=4096)
def _obis(address: str) -> Obis | None:
    try:
        return Obis.parse(address.strip())
    except ModelError:
        return None


def _reading(
    data: DataSet,
    units: dict[tuple[int, int, int], str],
    register_for: RegisterFor,
    time: datetime | None,
    zone: tzinfo,
) -> Reading | None:
    """The reading of a set, None when it holds a text.

    A stored value (group F, the number of a billing period) may leave its unit out; it is that
    of the current value, which stands before it.
    """
    obis = _obis(data.address)
    first = data.values[0]
    if obis is None:
        return None
    quantity = (obis.c, obis.d, obis.e)
    unit_text = first.unit or (units.get(quantity) if obis.f != UNUSED else None)
    known = _unit(unit_text)
    if known is None or not _DIGIT.search(first.text):
        return None
    units[quantity] = unit_text or ""
    unit, prefix = known
    mantissa, exponent = parse_number(first.text.strip(), data.offset)
    own = _own_stamp(data.values, zone)
    return reading(register_for(obis, unit), (mantissa, exponent + prefix), own or time)


def _load_profile(data: DataSet, register_for: RegisterFor, zone: tzinfo) -> list[Reading]:
    """The readings of a load profile P.01 or P.02, none when the set is something else.

        P.01(first stamp)(status)(period, minutes)(n) n x (code)(unit)  rows of n x (value)

    The stamp is the end of the first row's period. Source: VDEW specification of electronic
    load-profile meters 2.1.2, on IEC 62056-21 data readout.
    """
    match = _PROFILE.fullmatch(data.address)
    values = [value.text.strip() for value in data.values]
    head = values[:4]
    if not match or len(head) < 4 or not (head[2].isdecimal() and head[3].isdecimal()):
        return []
    first, period, width = (
        _stamp(head[0], zone),
        timedelta(minutes=int(head[2][:4])),
        int(head[3][:4]),
    )
    columns = [_column(*pair) for pair in zip(values[4::2], values[5::2], strict=False)][:width]
    if first is None or not width or len(columns) < width:
        return []
    cells = values[4 + 2 * width :]
    return [
        reading(
            register_for(column[0], column[1]),
            _shifted(parse_number(cell, data.offset), column[2]),
            first + index // width * period,
        )
        for index, cell in enumerate(cells)
        if (column := columns[index % width]) and _DIGIT.search(cell)
    ]


def _column(code: str, unit_text: str) -> tuple[Obis, Unit, int] | None:
    """OBIS code, unit and exponent of a column; None when we do not know them."""
    obis, known = _obis(code), _unit(unit_text)
    return (obis, *known) if obis and known else None


def _shifted(number: tuple[int, int], exponent: int) -> tuple[int, int]:
    return number[0], number[1] + exponent


def _unit(text: str | None) -> tuple[Unit, int] | None:
    """`Deg` and `deg` are the same; other units tell a prefix by its case."""
    if not text:
        return None
    return text_unit(text) or text_unit(text.lower())


def _own_stamp(values: tuple[Value, ...], zone: tzinfo) -> datetime | None:
    """The time of a maximum, in the second bracket: YYMMDDhhmm or YYMMDDhhmmss."""
    return _stamp(values[1].text, zone) if len(values) == 2 and not values[1].unit else None


def _stamp(text: str, zone: tzinfo) -> datetime | None:
    """The instant of a stamp; a digit in front of it tells the season (0 normal, 1 summer)."""
    digits = _digits(text)
    summer = None
    if len(digits) in {11, 13}:
        summer, digits = _SEASONS.get(digits[0]), digits[1:]
    if len(digits) not in {10, 12}:
        return None
    year, *rest = (int(digits[i : i + 2]) for i in range(0, len(digits), 2))
    try:
        local = datetime(2000 + year, *rest)  # type: ignore[arg-type]  # noqa: DTZ001 - meter-local
        return to_utc(local, zone, summer=summer)
    except (ValueError, OverflowError):
        return None


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _clock(readout: Readout, zone: tzinfo) -> datetime | None:
    """The meter's clock: 0.9.1 time and 0.9.2 date, or 1.0.0 of medium 0 with both."""
    found: dict[tuple[int, int, int], str] = {}
    for data in readout.data:
        obis = _obis(data.address) if "." in data.address[:8] else None
        if obis and obis.f == UNUSED and not data.values[0].unit:
            found.setdefault((obis.c, obis.d, obis.e), data.values[0].text)
    date, clock = found.get((0, 9, 2)), found.get((0, 9, 1))
    if date and clock:
        # Either may have the season's digit in front; the date's is enough.
        return _stamp(_digits(date) + _digits(clock)[-6:], zone)
    return _stamp(found.get((1, 0, 0), ""), zone)


def _device(readout: Readout, texts: dict[str, str]) -> dict[str, str]:
    device: dict[str, str] = {}
    if readout.identification is not None:
        device["identification"] = readout.identification
        if _MAKER.match(readout.identification):
            device["manufacturer"] = readout.identification[:3].upper()
    for address, text in texts.items():
        obis = _obis(address)
        name = _ID_CODES.get((obis.c, obis.d)) if obis else {"C.1.0": "serial"}.get(address)
        if name and text:
            device.setdefault(name, text)
    return device
