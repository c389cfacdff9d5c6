"""Templates of P1 telegrams: the real decoder's own reading, line by line, with places.

Free to differ are the digits of numbers that become readings, the stamps of their times, hex texts
(numbers of equipment) and the CRC. A telegram without a CRC, with noise in front or with folded
lines is left to the decoder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from firmware_profiles.codecs.crc import crc16_arc
from firmware_profiles.codecs.p1.readings import (
    CLOCK,
    MBUS_VALUES,
    mbus_plan,
    mbus_types,
    parse_stamp,
    plan,
    value_of,
)
from firmware_profiles.codecs.p1.telegram import P1Line, parse_p1
from firmware_profiles.shape import Form, Slot, StampSlot, Template, build, slot
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, tzinfo

    from ohmesh.model.reading import Register

_CRC_SIZE = 4
_ENDS = (b"", b"\r\n")
_STAMP = re.compile(rb"\d{12}[SW]")
_HEX = re.compile(r"[0-9A-F]{4,80}")
_PLAIN = re.compile(r"(\d{1,18})(?:\.(\d{0,17}))?(\*[^()*]{1,12}|)", re.ASCII)
_DIGITS_MAX = 18
_HEX_OCTETS = frozenset(b"0123456789ABCDEF")


def learn_p1(payload: bytes, zone: tzinfo) -> Template | None:
    """The template of a telegram that `readings_of(parse_p1(..))` accepted; None when unusual."""
    try:
        telegram = parse_p1(payload)
    except DecodeError:
        return None
    end = payload.find(b"!")
    whole = payload[end + 1 :]
    if telegram.crc is None or payload[:1] != b"/" or whole[_CRC_SIZE:] not in _ENDS:
        return None
    if len(whole) < _CRC_SIZE or any(line.folded for line in telegram.lines):
        return None
    learner = _Learner(payload[: end + 1], zone, mbus_types(_texts(telegram.lines)))
    if not learner.read(telegram.lines):
        return None
    return build(
        payload,
        free=[*learner.hexes, range(end + 1, end + 1 + _CRC_SIZE)],
        slots=learner.slots,
        stamps=learner.stamps,
        sound=_sound(end, learner.hexes),
    )


def _texts(lines: tuple[P1Line, ...]) -> dict[str, str]:
    return {line.obis: line.text for line in lines if value_of(line.obis, line.body) is None}


class _Learner:
    """Finds the places of one telegram's values."""

    def __init__(self, body: bytes, zone: tzinfo, types: dict[str, int]) -> None:
        self._body = body
        self._zone = zone
        self._types = types
        self.slots: list[Slot | None] = []
        self.stamps: list[StampSlot] = []
        self.hexes: list[range] = []

    def read(self, lines: tuple[P1Line, ...]) -> bool:
        """Take all lines; False when one of them is unusual."""
        placed = list(self._placed(lines))
        if len(placed) != len(lines):
            return False
        clock = next(((line, at) for line, at in placed if line.obis == CLOCK), None)
        main: int | None = None
        if clock is not None:
            main = self._stamp(clock[0].body, clock[1])
            if main is None:
                return False
        return all(self._line(line, at, main) for line, at in placed if line.obis != CLOCK)

    def _placed(self, lines: tuple[P1Line, ...]) -> Iterator[tuple[P1Line, int]]:
        """Each line with the place of its body."""
        position = 0
        for line in lines:
            text = b"\n" + f"{line.obis}({line.body})\r\n".encode("latin-1")
            start = self._body.find(text, position)
            if start < 0:
                return
            yield line, start + 2 + len(line.obis)
            position = start + len(text) - 1

    def _line(self, line: P1Line, at: int, main: int | None) -> bool:
        """Take one line; False when it is unusual."""
        if value_of(line.obis, line.body) is not None:
            return self._number(line.obis, line.body, at, main)
        groups = line.groups
        if line.obis.endswith(MBUS_VALUES):
            return self._mbus(line, at)
        if len(groups) == 2 and "*" in line.body:
            return self._grouped(line, at, main)
        if len(groups) == 1 and _is_name(line):
            self.hexes.append(range(at, at + len(line.body)))
        return True

    def _grouped(self, line: P1Line, at: int, main: int | None) -> bool:
        first, second = line.groups
        if "*" in first:
            if value_of(line.obis, first) is None:
                return True
            return self._number(line.obis, first, at, main)
        if value_of(line.obis, second) is None:
            return True
        stamp = self._stamp(first, at)
        return stamp is not None and self._number(line.obis, second, at + len(first) + 2, stamp)

    def _mbus(self, line: P1Line, at: int) -> bool:
        """The last value of a device on M-Bus: `(stamp)(value*unit)`."""
        if len(line.groups) != 2:
            return False
        first, second = line.groups
        unit_text = second.partition("*")[2]
        planned = mbus_plan(line.obis, unit_text, self._types.get(line.obis.partition(":")[0]))
        stamp = self._stamp(first, at)
        if planned is None or stamp is None:
            return False
        return self._slot(second, at + len(first) + 2, planned, stamp)

    def _stamp(self, text: str, at: int) -> int | None:
        """The number of a stamp at a place; None for a text that is none."""
        octets = text.encode("latin-1")
        if not _STAMP.fullmatch(octets) or parse_stamp(text, self._zone) is None:
            return None
        self.stamps.append(StampSlot(at, at + len(octets), self._instant))
        return len(self.stamps) - 1

    def _instant(self, octets: bytes) -> tuple[datetime, Quality] | None:
        if not _STAMP.fullmatch(octets):
            return None
        time = parse_stamp(octets.decode("ascii"), self._zone)
        return None if time is None else (time, Quality.ACTUAL)

    def _number(self, obis: str, text: str, at: int, stamp: int | None) -> bool:
        match = _PLAIN.fullmatch(text)
        planned = plan(obis, match[3]) if match else None
        return planned is not None and self._slot(text, at, planned, stamp)

    def _slot(self, text: str, at: int, planned: tuple[Register, int], stamp: int | None) -> bool:
        """Add the digits of a text; False for a sign, and for more digits than 64 bits hold."""
        match = _PLAIN.fullmatch(text)
        if match is None:
            return False
        whole, fraction = match[1], match[2] or ""
        if len(whole) + len(fraction) > _DIGITS_MAX:
            return False
        point = at + len(whole) + 1
        places = (*range(at, at + len(whole)), *range(point, point + len(fraction)))
        register, exponent = planned
        self.slots.append(slot(places, Form.DIGITS, register, exponent - len(fraction), stamp))
        return True


def _is_name(line: P1Line) -> bool:
    """A hex text that can never be a number: it decides about nothing."""
    return bool(_HEX.fullmatch(line.body)) and plan(line.obis, "") is None


def _sound(end: int, hexes: list[range]) -> Callable[[bytes], bool]:
    def sound(payload: bytes) -> bool:
        sent = payload[end + 1 : end + 1 + _CRC_SIZE]
        if not _HEX_OCTETS.issuperset(sent) or int(sent, 16) != crc16_arc(payload[: end + 1]):
            return False
        return all(_HEX_OCTETS.issuperset(payload[one.start : one.stop]) for one in hexes)

    return sound
