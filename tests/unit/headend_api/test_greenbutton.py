"""The Green Button feed against its structure: a schema of our own after NAESB's usage.xsd.

NAESB's file (version 3.3.20200320, of ESPI 4.0) is not carried here. This one says of the resources
that we write what that one says: elements and their order, which may be absent, types and ranges.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
import xmlschema

from headend.greenbutton.codes import codes_of, quality_of
from headend.greenbutton.feed import ATOM, ESPI, Curve, Interval, Usage, feed
from headend.greenbutton.localtime import NEVER, local_time
from ohmesh.model.reading import Quality


def _sequence(name, *fields):
    parts = "".join(
        f'<xs:element name="{f.rstrip("?*")}" type="{t}"'
        f' minOccurs="{0 if f[-1] in "?*" else 1}"'
        f' maxOccurs="{"unbounded" if f[-1] == "*" else 1}"/>'
        for f, t in fields
    )
    return f'<xs:complexType name="{name}"><xs:sequence>{parts}</xs:sequence></xs:complexType>'


def _restricted(name, base, **facets):
    limits = "".join(f'<xs:{facet} value="{value}"/>' for facet, value in facets.items())
    return (
        f'<xs:simpleType name="{name}"><xs:restriction base="xs:{base}">{limits}</xs:restriction>'
        "</xs:simpleType>"
    )


UINT16, INT16, UINT32, TIME = "xs:unsignedShort", "xs:short", "xs:unsignedInt", "xs:long"
XSD = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="http://naesb.org/espi"'
    ' targetNamespace="http://naesb.org/espi" elementFormDefault="qualified">'
    + _restricted("HexBinary16", "hexBinary", maxLength=2)
    + _restricted("DstRuleType", "hexBinary", maxLength=4)
    + _restricted("Int48", "long", minInclusive=-(2**47), maxInclusive=2**47)
    + _restricted("Connected", "string", pattern="connected|(logically|physically)Disconnected")
    + _sequence("ServiceCategory", ("kind", UINT16))
    + _sequence("DateTimeInterval", ("duration", UINT32), ("start", TIME))
    + _sequence("ReadingQuality", ("quality", UINT16))
    + _sequence(
        "SummaryMeasurement",
        ("powerOfTenMultiplier?", INT16),
        ("timeStamp?", TIME),
        ("uom?", UINT16),
        ("value?", "Int48"),
        ("readingTypeRef?", "xs:anyURI"),
    )
    + _sequence(
        "UsagePoint",
        ("roleFlags?", "HexBinary16"),
        ("ServiceCategory?", "ServiceCategory"),
        ("status?", "xs:unsignedByte"),
        ("checkBilling?", "xs:boolean"),
        ("connectionState?", "Connected"),
        ("estimatedLoad?", "SummaryMeasurement"),
    )
    + _sequence(
        "LocalTimeParameters",
        ("dstEndRule", "DstRuleType"),
        ("dstOffset", TIME),
        ("dstStartRule", "DstRuleType"),
        ("tzOffset", TIME),
    )
    + _sequence("MeterReading")
    + _sequence(
        "ReadingType",
        ("accumulationBehaviour?", UINT16),
        ("commodity?", UINT16),
        ("consumptionTier?", INT16),
        ("currency?", UINT16),
        ("dataQualifier?", UINT16),
        ("defaultQuality?", UINT16),
        ("flowDirection?", UINT16),
        ("intervalLength?", UINT32),
        ("kind?", UINT16),
        ("phase?", UINT16),
        ("powerOfTenMultiplier?", INT16),
        ("timeAttribute?", UINT16),
        ("tou?", INT16),
        ("uom?", UINT16),
        ("cpp?", INT16),
    )
    + _sequence(
        "IntervalReading",
        ("cost?", "Int48"),
        ("ReadingQuality*", "ReadingQuality"),
        ("timePeriod?", "DateTimeInterval"),
        ("value?", "Int48"),
        ("consumptionTier?", INT16),
        ("tou?", INT16),
        ("cpp?", INT16),
    )
    + _sequence(
        "IntervalBlock", ("interval?", "DateTimeInterval"), ("IntervalReading*", "IntervalReading")
    )
    + _sequence(
        "UsageSummary",
        ("billingPeriod?", "DateTimeInterval"),
        ("billLastPeriod?", "Int48"),
        ("currency?", UINT16),
        ("overallConsumptionLastPeriod?", "SummaryMeasurement"),
        ("qualityOfReading?", UINT16),
        ("statusTimeStamp", TIME),
        ("commodity?", UINT16),
        ("tariffProfile?", "xs:string"),
    )
    + "".join(
        f'<xs:element name="{name}" type="{name}"/>'
        for name in (
            *("UsagePoint", "LocalTimeParameters", "MeterReading", "ReadingType"),
            *("IntervalBlock", "UsageSummary"),
        )
    )
    + "</xs:schema>"
)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
START = datetime(2026, 3, 28, 23, tzinfo=UTC)
"""Midnight in Amsterdam; the clock goes forward in the night after."""


def usage(**more):
    curves = [
        Curve(
            channel,
            "Wh",
            0,
            [
                Interval(START + timedelta(minutes=15 * (i + 1)), 900, i * factor, 17)
                for i in range(96)
            ],
        )
        for channel, factor in (("el.energy.import", 3), ("el.energy.export", 0))
    ]
    given = {"meter": "M1", "zone": "Europe/Amsterdam", "connected": True, "curves": curves}
    return Usage(**{**given, "period": (START, START + timedelta(days=1)), **more})


def entries(octets):
    root = ET.fromstring(octets)
    return root, root.findall(f"{{{ATOM}}}entry")


def resource(entry):
    (found,) = entry.find(f"{{{ATOM}}}content")
    return found


def links(entry, rel):
    return [one.get("href") for one in entry.findall(f"{{{ATOM}}}link") if one.get("rel") == rel]


def name(element):
    return element.tag.removeprefix(f"{{{ESPI}}}")


def test_every_resource_is_as_the_schema_says():
    schema = xmlschema.XMLSchema(XSD)
    _, found = entries(feed(usage(), NOW))
    kinds = [name(resource(one)) for one in found]
    assert kinds.count("UsagePoint") == kinds.count("LocalTimeParameters") == 1
    assert kinds.count("MeterReading") == kinds.count("ReadingType") == 2
    assert kinds.count("UsageSummary") == 2
    for one in found:
        schema.validate(resource(one))


def test_the_schema_can_refuse():
    schema = xmlschema.XMLSchema(XSD)
    _, found = entries(feed(usage(), NOW))
    kind = next(resource(one) for one in found if name(resource(one)) == "ReadingType")
    kind.insert(0, kind[-1])
    assert not schema.is_valid(kind)


def test_a_value_beyond_48_bits_is_left_away():
    schema = xmlschema.XMLSchema(XSD)
    far = Interval(START + timedelta(minutes=15), 900, 2**62, 17)
    _, found = entries(feed(usage(curves=[Curve("el.energy.import", "Wh", 0, [far])]), NOW))
    for one in found:
        schema.validate(resource(one))
    (block,) = (resource(one) for one in found if name(resource(one)) == "IntervalBlock")
    (reading,) = block.iter(f"{{{ESPI}}}IntervalReading")
    assert [name(part) for part in reading] == ["ReadingQuality", "timePeriod"]


def test_every_link_leads_to_an_entry():
    _, found = entries(feed(usage(), NOW))
    paths = {links(one, "self")[0] for one in found}
    assert len(paths) == len(found)
    for one in found:
        for path in links(one, "related"):
            assert any(p == path or p.startswith(f"{path}/") for p in paths), path


def test_every_interval_is_there_by_its_start():
    _, found = entries(feed(usage(), NOW))
    readings = [
        one
        for entry in found
        if "el.energy.import" in links(entry, "self")[0]
        for one in resource(entry).iter(f"{{{ESPI}}}IntervalReading")
    ]
    starts = [int(r.find(f"{{{ESPI}}}timePeriod/{{{ESPI}}}start").text) for r in readings]
    values = [int(r.find(f"{{{ESPI}}}value").text) for r in readings]
    assert starts == [int(START.timestamp()) + 900 * i for i in range(96)]
    assert values == [3 * i for i in range(96)]
    summary = next(
        resource(e)
        for e in found
        if name(resource(e)) == "UsageSummary" and "import" in links(e, "self")[0]
    )
    total = summary.find(f"{{{ESPI}}}overallConsumptionLastPeriod/{{{ESPI}}}value")
    assert int(total.text) == sum(values)


def test_a_block_is_a_local_day_with_its_23_hours():
    _, found = entries(feed(usage(), NOW))
    blocks = [
        links(one, "self")[0].rpartition("/")[2]
        for one in found
        if name(resource(one)) == "IntervalBlock" and "import" in links(one, "self")[0]
    ]
    assert blocks == ["2026-03-29", "2026-03-30"]
    first = next(resource(one) for one in found if name(resource(one)) == "IntervalBlock")
    assert first.find(f"{{{ESPI}}}interval/{{{ESPI}}}duration").text == str(23 * 3600)


def test_hostile_names_stay_text():
    evil = '<script>&"\u202e]]>'
    _, found = entries(feed(usage(meter=evil), NOW))
    assert found[0].find(f"{{{ATOM}}}title").text == f"Meter {evil}"


@pytest.mark.parametrize(
    ("zone", "start", "end", "offset_s", "dst_s"),
    [
        ("Europe/Amsterdam", "3E0E2000", "AE0E3000", 3600, 3600),
        ("America/New_York", "360E2000", "B40E2000", -18000, 3600),
        ("Europe/Dublin", "3E0E1000", "AE0E2000", 0, 3600),
        ("Asia/Seoul", NEVER, NEVER, 32400, 0),
        ("Africa/Accra", NEVER, NEVER, 0, 0),
    ],
)
def test_rules_of_zones(zone, start, end, offset_s, dst_s):
    found = local_time(zone, 2026)
    assert (found.start_rule, found.end_rule) == (start, end)
    assert (found.offset_s, found.dst_s) == (offset_s, dst_s)


def test_codes():
    assert codes_of("el.energy.l2.export", "Wh").flow == 19
    assert codes_of("el.energy.l2.export", "Wh").phase == 64
    assert codes_of("el.reactive.q3", "varh").flow == 17
    assert (codes_of("gas.volume", "m3").kind, codes_of("gas.volume", "m3").commodity) == (58, 7)
    assert codes_of("heat.energy", "Wh").commodity == 12
    assert codes_of("el.voltage.l1", "V") is None
    assert codes_of("raw.1-0:99.9.9", "Wh") is None
    assert quality_of(Quality.EDITED | Quality.ESTIMATED, 0) == 7
    assert quality_of(Quality.ESTIMATED, 4) == 8
    assert (quality_of(0, 0), quality_of(0, 4), quality_of(1, 0)) == (17, 18, 10)
