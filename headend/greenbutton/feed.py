"""The Atom feed: one entry a resource, tied by links and not by nesting.

Source: NAESB REQ.21 (ESPI 4.0); elements stand in the order of its schema (usage.xsd). Times are
seconds since 1970 of an interval's START (ours are named by their END); a value is our integer,
with the channel's power of ten as `powerOfTenMultiplier`.
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from headend.greenbutton.codes import DELTA, SERVICES, codes_of
from headend.greenbutton.localtime import local_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from headend.greenbutton.codes import Codes

ATOM: Final = "http://www.w3.org/2005/Atom"
ESPI: Final = "http://naesb.org/espi"
MEDIA_TYPE: Final = "application/atom+xml"
_BASE: Final = "/espi/1_1/resource"
_NAMESPACE: Final = uuid.UUID("6f686d65-7368-5000-8000-677265656e62")
_REVENUE: Final = "0010"
_INT48_MAX: Final = 2**47 - 1
ET.register_namespace("", ATOM)
ET.register_namespace("espi", ESPI)


@dataclass(frozen=True, slots=True)
class Interval:
    """`end` in UTC; `quality`: ESPI's code."""

    end: datetime
    length_s: int
    value: int
    quality: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The intervals of one channel, by END."""

    channel: str
    unit: str
    scaler: int
    intervals: Sequence[Interval]


@dataclass(frozen=True, slots=True)
class Usage:
    """A meter's part of a period. `connected`: the supply switch as read back, None: not known."""

    meter: str
    zone: str
    connected: bool | None
    period: tuple[datetime, datetime]
    curves: Sequence[Curve]


def feed(usage: Usage, now: datetime) -> bytes:
    """The feed as UTF-8. Curves that ESPI has no codes for are left away."""
    root = ET.Element(_atom("feed"))
    _head(root, f"Green Button data of {usage.meter}", f"{_BASE}/Batch/{usage.meter}", now)
    point = f"{_BASE}/Subscription/{usage.meter}/UsagePoint/{usage.meter}"
    known = [(c, codes) for c in usage.curves if (codes := codes_of(c.channel, c.unit))]
    _usage_point(root, usage, point, known, now)
    _local_time(root, usage, now)
    for curve, codes in known:
        _meter_reading(root, usage, point, (curve, codes), now)
    _summaries(root, usage, point, known, now)
    octets: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return octets


def _atom(name: str) -> str:
    return f"{{{ATOM}}}{name}"


def _espi(parent: ET.Element, name: str, value: object = None) -> ET.Element:
    found = ET.SubElement(parent, f"{{{ESPI}}}{name}")
    if value is not None:
        found.text = str(value)
    return found


def _head(parent: ET.Element, title: str, path: str, now: datetime) -> None:
    ET.SubElement(parent, _atom("id")).text = f"urn:uuid:{uuid.uuid5(_NAMESPACE, path)}"
    ET.SubElement(parent, _atom("title")).text = title
    ET.SubElement(parent, _atom("updated")).text = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    ET.SubElement(parent, _atom("link"), rel="self", href=path)


def _entry(
    root: ET.Element, title: str, path: str, now: datetime, *, related: Iterable[str] = ()
) -> ET.Element:
    """An entry's content, to be filled with one resource."""
    entry = ET.SubElement(root, _atom("entry"))
    _head(entry, title, path, now)
    ET.SubElement(entry, _atom("link"), rel="up", href=path.rpartition("/")[0])
    for other in related:
        ET.SubElement(entry, _atom("link"), rel="related", href=other)
    return ET.SubElement(entry, _atom("content"), type="application/xml")


def _usage_point(
    root: ET.Element, usage: Usage, path: str, known: list[tuple[Curve, Codes]], now: datetime
) -> None:
    related = (f"{path}/MeterReading", _local_time_path(usage), f"{path}/UsageSummary")
    content = _entry(root, f"Meter {usage.meter}", path, now, related=related)
    point = _espi(content, "UsagePoint")
    _espi(point, "roleFlags", _REVENUE)
    service = known[0][0].channel.partition(".")[0] if known else "el"
    _espi(_espi(point, "ServiceCategory"), "kind", SERVICES[service])
    _espi(point, "status", 1)
    if usage.connected is not None:
        _espi(point, "connectionState", "connected" if usage.connected else "logicallyDisconnected")


def _local_time_path(usage: Usage) -> str:
    return f"{_BASE}/LocalTimeParameters/{usage.zone.replace('/', '-')}"


def _local_time(root: ET.Element, usage: Usage, now: datetime) -> None:
    content = _entry(root, f"Local time, {usage.zone}", _local_time_path(usage), now)
    local = local_time(usage.zone, usage.period[0].year)
    found = _espi(content, "LocalTimeParameters")
    _espi(found, "dstEndRule", local.end_rule)
    _espi(found, "dstOffset", local.dst_s)
    _espi(found, "dstStartRule", local.start_rule)
    _espi(found, "tzOffset", local.offset_s)


def _meter_reading(
    root: ET.Element, usage: Usage, point: str, what: tuple[Curve, Codes], now: datetime
) -> None:
    """The reading, its type and its blocks: each local day is one."""
    curve, codes = what
    path = f"{point}/MeterReading/{curve.channel}"
    kind = f"{_BASE}/ReadingType/{usage.meter}.{curve.channel}"
    related = (f"{path}/IntervalBlock", kind)
    _espi(_entry(root, curve.channel, path, now, related=related), "MeterReading")
    _reading_type(_entry(root, f"Type of {curve.channel}", kind, now), curve, codes)
    zone = ZoneInfo(usage.zone)
    for day, part in groupby(curve.intervals, key=lambda one: _start(one, zone).date().isoformat()):
        content = _entry(root, f"{curve.channel}, {day}", f"{path}/IntervalBlock/{day}", now)
        _block(content, list(part))


def _start(one: Interval, zone: ZoneInfo) -> datetime:
    return one.end.fromtimestamp(_start_s(one), zone)


def _start_s(one: Interval) -> int:
    return int(one.end.timestamp()) - one.length_s


def _reading_type(content: ET.Element, curve: Curve, codes: Codes) -> None:
    found = _espi(content, "ReadingType")
    length_s = curve.intervals[0].length_s if curve.intervals else 0
    for name, value in (
        ("accumulationBehaviour", DELTA),
        ("commodity", codes.commodity),
        ("dataQualifier", 12),
        ("flowDirection", codes.flow),
        ("intervalLength", length_s),
        ("kind", codes.kind),
        ("phase", codes.phase),
        ("powerOfTenMultiplier", curve.scaler),
        ("timeAttribute", 0),
        ("uom", codes.uom),
    ):
        _espi(found, name, value)


def _period(parent: ET.Element, name: str, start_s: int, duration_s: int) -> None:
    found = _espi(parent, name)
    _espi(found, "duration", duration_s)
    _espi(found, "start", start_s)


def _block(content: ET.Element, intervals: Sequence[Interval]) -> None:
    block = _espi(content, "IntervalBlock")
    start_s = _start_s(intervals[0])
    _period(block, "interval", start_s, int(intervals[-1].end.timestamp()) - start_s)
    for one in intervals:
        reading = _espi(block, "IntervalReading")
        _espi(_espi(reading, "ReadingQuality"), "quality", one.quality)
        _period(reading, "timePeriod", _start_s(one), one.length_s)
        _value(reading, one.value)


def _summaries(
    root: ET.Element, usage: Usage, point: str, known: list[tuple[Curve, Codes]], now: datetime
) -> None:
    """What each curve adds up to in the period."""
    start_s, end_s = (int(at.timestamp()) for at in usage.period)
    for curve, codes in known:
        path = f"{point}/UsageSummary/{curve.channel}"
        summary = _espi(_entry(root, f"Sum of {curve.channel}", path, now), "UsageSummary")
        _period(summary, "billingPeriod", start_s, end_s - start_s)
        total = _espi(summary, "overallConsumptionLastPeriod")
        _espi(total, "powerOfTenMultiplier", curve.scaler)
        _espi(total, "uom", codes.uom)
        _value(total, sum(one.value for one in curve.intervals))
        _espi(summary, "statusTimeStamp", int(now.timestamp()))
        _espi(summary, "commodity", codes.commodity)


def _value(parent: ET.Element, value: int) -> None:
    """A value, which may be left away, as is one that ESPI's 48 bits do not hold."""
    if abs(value) <= _INT48_MAX:
        _espi(parent, "value", value)
