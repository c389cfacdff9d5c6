"""Lines of a file of readings, as `GET /v1/readings` exports them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from headend.api.fields import is_id
from headend.service.imports import OldReading, Outcomes, import_readings
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from headend.api.imports.files import Line
    from headend.store.plan import Plan

COLUMNS: Final = ("meter", "channel", "time", "value", "scaler", "unit", "quality")
NEEDED: Final = ("meter", "channel", "time", "value")
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(hours=1)
"""Clocks differ; what lies further in the future is no history."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,9})?", re.ASCII)
_TEXT: Final = re.compile(r"[A-Za-z0-9_.:*&%/^-]{1,80}", re.ASCII)
_SCALER_MAX: Final = 18
_FLAGS: Final = {flag.name.lower(): int(flag) for flag in Quality if flag.name}


@dataclass(frozen=True, slots=True)
class ReadingFile:
    """How one file is read: `decimal` is the mark in its numbers, `now` the clock."""

    tenant_id: int
    decimal: str
    now: datetime

    def plan(self, lines: list[Line]) -> Plan[Outcomes]:
        """Read the lines now; the plan gives their outcomes, in order."""
        seen: dict[tuple[str, str, datetime], int] = {}
        return self._outcomes([self._once(self._read(line), line.number, seen) for line in lines])

    def _outcomes(self, found: list[OldReading | str]) -> Plan[Outcomes]:
        fit = [one for one in found if not isinstance(one, str)]
        outcomes = iter((yield from import_readings(self.tenant_id, fit)))
        return [one if isinstance(one, str) else next(outcomes) for one in found]

    @staticmethod
    def _once(
        one: OldReading | str, number: int, seen: dict[tuple[str, str, datetime], int]
    ) -> OldReading | str:
        if isinstance(one, str):
            return one
        first = seen.setdefault((one.meter, one.channel, one.time), number)
        return one if first == number else f"the same meter, channel and time as line {first}"

    def _read(self, line: Line) -> OldReading | str:
        if line.fault:
            return line.fault
        try:
            return self._reading(line.fields)
        except ValueError as error:
            return str(error)

    def _reading(self, fields: dict[str, Any]) -> OldReading:
        for name in NEEDED:
            if name not in fields:
                raise ValueError(f"{name} is empty")
        if not is_id(str(fields["meter"])):
            raise ValueError("meter: 1 to 64 of A-Z a-z 0-9 _ -")
        return OldReading(
            meter=str(fields["meter"]),
            channel=_text(fields, "channel"),
            time=self._time(fields["time"]),
            quantity=self._quantity(fields["value"], fields.get("scaler", 0)),
            unit=_text(fields, "unit") if "unit" in fields else "",
            flags=_flags(str(fields.get("quality", ""))),
        )

    def _time(self, given: Any) -> datetime:
        try:
            time = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise ValueError("time: write it with a zone, such as 2026-01-31T00:00:00Z")
        if not FIRST <= time <= self.now + AHEAD:
            raise ValueError("time: must lie between 1970 and now")
        return time.astimezone(UTC)

    def _quantity(self, given: Any, scaler: Any) -> Decimal:
        text = str(given) if self.decimal == "." else str(given).replace(",", ".")
        power = str(scaler)
        if isinstance(given, float) or not _NUMBER.fullmatch(text):
            raise ValueError("value: a decimal number of at most 19 and 9 digits")
        if not re.fullmatch(r"-?[0-9]{1,2}", power) or abs(int(power)) > _SCALER_MAX:
            raise ValueError(f"scaler: a whole number from -{_SCALER_MAX} to {_SCALER_MAX}")
        return Decimal(text).scaleb(int(power))


def _text(fields: dict[str, Any], name: str) -> str:
    text = str(fields[name])
    if not _TEXT.fullmatch(text):
        raise ValueError(f"{name}: no such name")
    return text


def _flags(text: str) -> int:
    words = text.split("|") if text and text != "actual" else []
    if unknown := [word for word in words if word not in _FLAGS]:
        raise ValueError(f"quality: no flag {unknown[0][:40]!r}; known: {', '.join(_FLAGS)}")
    return sum({_FLAGS[word] for word in words})
