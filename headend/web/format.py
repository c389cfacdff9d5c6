"""How values are written for people: every number with its unit, every time with its zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from headend.web.speech import mark

if TYPE_CHECKING:
    from gettext import NullTranslations
    from zoneinfo import ZoneInfo

THIN: Final = "\u202f"
MISSING: Final = "\u2013"
_KILO: Final = {"Wh": "kWh", "varh": "kvarh", "VAh": "kVAh", "W": "kW", "var": "kvar", "VA": "kVA"}
_KILO_FROM: Final = 10_000
_STEPS: Final = (
    (172_800, 86_400, mark("%(n)s\u202fd")),
    (3600, 3600, mark("%(n)s\u202fh")),
    (60, 60, mark("%(n)s\u202fmin")),
    (0, 1, mark("%(n)s\u202fs")),
)


def number(value: int | Decimal) -> str:
    """An exact number with thin spaces between thousands: `1 040.625`."""
    return f"{value:,f}".replace(",", THIN) if isinstance(value, Decimal) else _grouped(value)


def _grouped(value: int) -> str:
    return f"{value:,}".replace(",", THIN)


def quantity(value: int, scaler: int, unit: str) -> str:
    """Value x 10**scaler with its unit, exact; large energies and powers in kilo."""
    exact = Decimal(value).scaleb(scaler)
    if abs(exact) >= _KILO_FROM and unit in _KILO:
        exact, unit = exact.scaleb(-3), _KILO[unit]
    return f"{number(exact)}{THIN}{unit}"


def small(value: int, scaler: int, unit: str) -> str:
    """A value for a cell: in kilo where there is one, two digits behind the point, no unit."""
    exact = Decimal(value).scaleb(scaler - 3 if unit in _KILO else scaler)
    return f"{exact:.2f}"


def small_unit(unit: str) -> str:
    """The unit of `small`."""
    return _KILO.get(unit, unit)


def percent(ratio_ppm: int | None) -> str:
    """A ratio in millionths as percent, cut and never rounded up: only all is 100 %."""
    if ratio_ppm is None:
        return MISSING
    whole, rest = divmod(ratio_ppm // 100, 100)
    return f"{whole}.{rest:02d}{THIN}%"


def when(moment: datetime | None, zone: ZoneInfo | None = None) -> str:
    """A time with its zone: `2026-03-01 14:15:00 UTC`."""
    if moment is None:
        return MISSING
    local = moment.astimezone(zone or UTC)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def stretch(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """From one time to another, to the minute: `2026-03-01 11:00 - 13:00 CET`."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if first.utcoffset() != last.utcoffset():
        return f"{first:%Y-%m-%d %H:%M %Z} {MISSING} {last:%Y-%m-%d %H:%M %Z}"
    same = first.date() == last.date()
    return (
        f"{first:%Y-%m-%d %H:%M} {MISSING} {last:{'%H:%M' if same else '%Y-%m-%d %H:%M'}} {last:%Z}"
    )


def span(length: timedelta, texts: NullTranslations) -> str:
    """A length of time in one unit of a language: `32 s`, `5 min`, `24 h`, `12 d`."""
    seconds = max(int(length.total_seconds()), 0)
    size, text = next((size, text) for least, size, text in _STEPS if seconds >= least)
    return texts.gettext(text) % {"n": number(seconds // size)}


def ago(moment: datetime | None, now: datetime, texts: NullTranslations) -> str:
    """How long ago in a language: `32 s ago`; `never` when it never was."""
    if moment is None:
        return texts.gettext("never")
    return texts.gettext("%(span)s ago") % {"span": span(now - moment, texts)}


def plural(count: int, one: str, many: str, texts: NullTranslations) -> str:
    """A count in its sentence: `%(n)s meter`, `%(n)s meters` -> `60 meters`."""
    return texts.ngettext(one, many, count) % {"n": number(count)}
