"""P1 and the Dutch profile."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.api import Report
from firmware_profiles.codecs.crc import crc16_arc
from firmware_profiles.codecs.p1.readings import hex_text
from firmware_profiles.codecs.p1.telegram import parse_p1
from firmware_profiles.nl_dsmr.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

NL = profile()
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
FRAME_MAX = 140


def sealed(*lines, end="!"):
    body = "\r\n".join(("/OHM5TEST", "", *lines, end)).encode()
    return body + b"%04X\r\n" % crc16_arc(body)


def by_channel(decoded):
    return {r.register.channel: r for r in decoded.readings}


def test_values_are_exact_and_in_base_units():
    found = by_channel(
        NL.decode(
            sealed(
                "0-0:1.0.0(170102192002W)",
                "1-0:1.8.0(001581.123*kWh)",
                "1-0:1.7.0(01.011*kW)",
                "1-0:32.7.0(230.1*V)",
                "1-0:3.8.0(00001.5*kVArh)",
            )
        )
    )
    quantities = {channel: reading.quantity for channel, reading in found.items()}
    assert quantities == {
        "el.energy.import": Decimal(1581123),
        "el.power.import": Decimal(1011),
        "el.voltage.l1": Decimal("230.1"),
        "el.reactive.import": Decimal(1500),
    }
    assert found["el.power.import"].time == datetime(2017, 1, 2, 18, 20, 2, tzinfo=UTC)


def test_gas_has_its_own_time_on_one_line_and_on_two():
    new = NL.decode(sealed("0-1:24.1.0(003)", "0-1:24.2.1(161129200000W)(00981.443*m3)"))
    old = NL.decode(
        b"/OHM5TEST\r\n\r\n0-1:24.1.0(3)\r\n"
        b"0-1:24.3.0(161129200000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00981.443)\r\n!\r\n"
    )
    for decoded in (new, old):
        gas = by_channel(decoded)["gas.volume"]
        assert gas.quantity == Decimal("981.443")
        assert gas.time == datetime(2016, 11, 29, 19, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "unit", "channel"),
    [
        ("007", "m3", "water.volume"),
        ("006", "m3", "water.hot.volume"),
        ("004", "GJ", "heat.energy"),
        ("002", "kWh", "raw.0-2:24.2.1"),
        ("003", "kWh", "raw.0-2:24.2.1"),
    ],
)
def test_submeters_by_device_type(kind, unit, channel):
    line = f"0-2:24.2.1(161129200000W)(00001.500*{unit})"
    assert list(by_channel(NL.decode(sealed(f"0-2:24.1.0({kind})", line)))) == [channel]


def test_states_logs_and_messages():
    decoded = NL.decode(
        sealed(
            "1-3:0.2.8(50)",
            "0-0:96.1.1(4D31)",
            "0-0:96.14.0(0002)",
            "0-0:96.3.10(1)",
            "1-0:99.97.0(1)(0-0:96.7.19)(000104180320W)(0000237126*s)",
            "0-0:96.13.0(48656C6C6F)",
            "1-1:31.4.0(100*A)(-063*A)",
            "1-0:52.7.0(---.-*V)",
        )
    )
    found = by_channel(decoded)
    assert (found["tariff.active"].value, found["relay.state"].value) == (2, 1)
    assert found["limiter.current"].quantity == 100
    assert "el.voltage.l2" not in found
    assert decoded.texts["1-0:52.7.0"] == "---.-*V"
    assert decoded.texts["1-0:99.97.0"].startswith("(1)(0-0:96.7.19)")
    assert hex_text(decoded.texts["0-0:96.13.0"]) == "Hello"
    assert decoded.device["id"] == "M1"
    assert decoded.device["version"] == "50"


def test_an_unknown_code_is_kept():
    found = by_channel(NL.decode(sealed("1-0:199.1.0(5*W)")))
    assert found["raw.1-0:199.1.0"].value == 5


@pytest.mark.parametrize("stamp", ["250000000000W", "000101010000W", "632525252525S"])
def test_a_clock_that_is_not_set_gives_no_time(stamp):
    decoded = NL.decode(sealed(f"0-0:1.0.0({stamp})", "1-0:1.8.0(1.000*kWh)"))
    assert decoded.time is None
    assert decoded.readings[0].time is None
    assert decoded.readings[0].quality is Quality.CLOCK_INVALID


GOOD = sealed("1-3:0.2.8(50)", "0-0:1.0.0(170102192002W)", "1-0:1.8.0(001581.123*kWh)")


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", DecodeErrorKind.MALFORMED),
        (b"\x00" * 100, DecodeErrorKind.MALFORMED),
        (GOOD.replace(b"1581", b"1582"), DecodeErrorKind.CHECKSUM),
        (GOOD[: GOOD.index(b"!") + 1], DecodeErrorKind.CHECKSUM),
        (GOOD[: GOOD.index(b"!")], DecodeErrorKind.CHECKSUM),
        (GOOD[: GOOD.index(b"!") - 3], DecodeErrorKind.TRUNCATED),
        (GOOD + b"/more", DecodeErrorKind.MALFORMED),
        (sealed("garbage"), DecodeErrorKind.MALFORMED),
        (sealed("(1)"), DecodeErrorKind.MALFORMED),
        (b"/" + b"x" * 70_000, DecodeErrorKind.BUDGET),
        (sealed("1-0:1.8.0(123456789012345678*GWh)".replace("GWh", "GJ")), None),
        (sealed("1-0:1.8.0(123456789012345678*GWh)"), DecodeErrorKind.MALFORMED),
    ],
)
def test_bad_telegrams_end_in_a_typed_error(payload, kind):
    if kind is None:
        payload = sealed("1-0:1.8.0(1*GJ)")
        assert NL.decode(payload).readings[0].register.channel == "raw.1-0:1.8.0"
        return
    with pytest.raises(DecodeError) as caught:
        NL.decode(payload)
    assert caught.value.kind is kind


def test_a_bad_check_is_accepted_only_when_asked():
    decoded = NL.decode(GOOD.replace(b"1581", b"1582"), verify=False)
    assert decoded.readings[0].value == 1582123


def report(*channels, meter="mesh-0000002a"):
    readings = tuple(
        Reading(NL.spec.registers[channel], 1234567 + i, NOON) for i, channel in enumerate(channels)
    )
    return Report(meter, NOON, readings)


@pytest.mark.parametrize("meter", ["m", "mesh-0000002a", "x" * 64])
def test_the_short_telegram_fits_a_mesh_frame(meter):
    wanted = report(*NL.spec.reported, meter=meter)
    payload = NL.encode(wanted)
    assert len(payload) <= FRAME_MAX
    decoded = NL.decode(payload)
    assert decoded.readings == wanted.readings
    assert decoded.time == NOON
    assert decoded.device.get("id") == (meter if len(meter) < 20 else None)


def test_the_full_telegram_gives_every_register_back():
    wanted = report(*NL.spec.registers)
    decoded = NL.decode(NL.encode(wanted))
    assert decoded.readings == wanted.readings
    assert decoded.device["version"] == "50"


@pytest.mark.parametrize(
    "moment", [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
)
def test_the_hour_that_comes_twice_survives(moment):
    reading = Reading(NL.spec.registers["el.energy.import"], 5, moment)
    assert NL.decode(NL.encode(Report("m", moment, (reading,)))).readings == (reading,)


def test_a_foreign_channel_is_refused():
    foreign = Register("water.volume", Obis.parse("8-0:1.0.0"), Unit.M3, -3)
    with pytest.raises(ProfileError, match=r"nl_dsmr has no channel water\.volume"):
        NL.encode(Report("m", NOON, (Reading(foreign, 1, NOON),)))


def must_refuse(record):
    return record["expected"].get("crc_valid", {}).get("value") is False


def test_captured_telegrams(shared_records, payload):
    for record in shared_records("dsmr-p1.jsonl"):
        if must_refuse(record):
            with pytest.raises(DecodeError, match="CRC is"):
                NL.decode(payload(record))
        decoded = NL.decode(payload(record), verify=not must_refuse(record))
        found = {r.register.obis: r.quantity for r in decoded.readings}
        for name, entry in record["expected"].items():
            if entry["unit"] in {"kWh", "kW", "kvar", "kvarh", "kVA", "kVAr", "kVArh"}:
                assert found[Obis.parse(name)] == Decimal(str(entry["value"])) * 1000, (
                    record["id"],
                    name,
                )
            elif entry["unit"] in {"V", "A", "m3"}:
                assert found[Obis.parse(name)] == Decimal(str(entry["value"])), (record["id"], name)


def test_captured_telegrams_are_written_back_to_the_byte(shared_records, payload):
    same = [
        record["id"]
        for record in shared_records("dsmr-p1.jsonl")
        if parse_p1(payload(record), verify=False).to_bytes() == payload(record)
    ]
    assert {"p1-v2-2", "p1-v4-2", "p1-v5", "p1-fluvius-v171", "p1-se-c"} <= set(same)


def test_made_up_names_and_units_are_texts():
    decoded = NL.decode(sealed(f"1-0:{'9' * 50}(5*W)", f"1-0:1.8.0(5*{'k' * 50})"))
    assert decoded.readings == ()
    assert len(decoded.texts) == 2
