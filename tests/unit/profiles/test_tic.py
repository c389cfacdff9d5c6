"""TIC and the French profile."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.api import Report
from firmware_profiles.codecs import tic
from firmware_profiles.fr_linky.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.reading import Quality, Reading

FR = profile()
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
METER = "042076248191"
FRAME_MAX = 140


def group(label, *parts, separator="\t", mode=2):
    body = separator.join((label, *parts))
    covered = body + (separator if mode == 2 else "")
    return f"\n{body}{separator}{chr(tic.check(covered.encode()))}\r"


def framed(*groups):
    return ("\x02" + "".join(groups) + "\x03").encode()


def by_channel(payload, **options):
    return {r.register.channel: r for r in FR.decode(payload, **options).readings}


def test_captured_frames_encode_to_the_same_bytes(shared_records, payload):
    same = 0
    for name in ("linky-tic-historic", "linky-tic-standard"):
        for record in shared_records(f"{name}.jsonl"):
            frame = tic.decode(payload(record))
            if not frame.rejected:
                assert tic.encode(frame) == payload(record), record["id"]
                same += 1
    assert same >= 9


def test_both_checksum_modes():
    standard = framed(group("EAST", "006231973"))
    historic = framed(group("BASE", "003775961", separator=" ", mode=1))
    tabbed = framed(group("BASE", "003775961", mode=1))
    for payload, value in ((standard, 6231973), (historic, 3775961), (tabbed, 3775961)):
        assert by_channel(payload)["el.energy.import"].value == value
    with pytest.raises(DecodeError) as caught:
        FR.decode(framed(group("BASE", "003775961", separator=" ", mode=2)))
    assert caught.value.kind is DecodeErrorKind.CHECKSUM


def test_a_group_that_fails_is_left_out_and_named():
    bad = group("ADCO", "026548931894", separator=" ", mode=1).replace("894", "895")
    payload = framed(bad, group("PAPP", "00470", separator=" ", mode=1))
    assert tic.decode(payload).rejected == ("ADCO",)
    decoded = FR.decode(payload)
    assert "id" not in decoded.device
    assert decoded.texts["rejected"] == "ADCO"
    assert decoded.readings[0].quantity == 470
    assert FR.decode(payload, verify=False).device["id"] == "026548931895"


def test_noise_costs_one_group_only():
    payload = framed(group("EAST", "000000001"), "\nEA\x07ST\t0\tX\r", group("EAIT", "000000002"))
    assert tic.decode(payload).rejected == ("?",)
    assert [r.value for r in FR.decode(payload).readings] == [1, 2]


def test_repeated_labels_are_all_kept():
    payload = framed(group("SINSTS", "00100"), group("SINSTS", "00200"))
    assert [r.value for r in FR.decode(payload).readings] == [100, 200]


def test_a_blank_check_character_is_read():
    payload = framed("\nPTEC HP..  \r")
    assert FR.decode(payload).texts == {"PTEC": "HP.."}


@pytest.mark.parametrize(
    ("stamp", "utc", "quality"),
    [
        ("E200426181830", datetime(2020, 4, 26, 16, 18, 30, tzinfo=UTC), Quality.ACTUAL),
        ("H201226181830", datetime(2020, 12, 26, 17, 18, 30, tzinfo=UTC), Quality.ACTUAL),
        ("E261025023000", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), Quality.ACTUAL),
        ("H261025023000", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), Quality.ACTUAL),
        ("h201226181830", datetime(2020, 12, 26, 17, 18, 30, tzinfo=UTC), Quality.CLOCK_INVALID),
        ("E209926181830", None, Quality.CLOCK_INVALID),
    ],
)
def test_stamps_with_their_season(stamp, utc, quality):
    decoded = FR.decode(framed(group("DATE", stamp, ""), group("EAST", "000000001")))
    assert decoded.time == utc
    assert (decoded.readings[0].time, decoded.readings[0].quality) == (utc, quality)


def test_a_maximum_has_its_own_time():
    decoded = by_channel(
        framed(group("DATE", "E200426181830", ""), group("SMAXSN", "E200426132229", "06100"))
    )
    assert decoded["el.demand.max.apparent"].time == datetime(2020, 4, 26, 11, 22, 29, tzinfo=UTC)
    assert decoded["el.demand.max.apparent"].quantity == 6100


def test_contracted_power_is_in_volt_amperes():
    (reading,) = FR.decode(framed(group("PREF", "09"))).readings
    assert reading.quantity == Decimal(9000)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", DecodeErrorKind.MALFORMED),
        (b"\x02", DecodeErrorKind.TRUNCATED),
        (b"\x02\x03", DecodeErrorKind.CHECKSUM),
        (b"\x02\nADCO 1\x04", DecodeErrorKind.TRUNCATED),
        (b"\x02\nADCO 1\x04\x03", DecodeErrorKind.TRUNCATED),
        (b"\x02\nA\r\x03", DecodeErrorKind.CHECKSUM),
        (b"no frame", DecodeErrorKind.MALFORMED),
        (b"\x02" + b"\nA 1 R\r" * 2000 + b"\x03", DecodeErrorKind.BUDGET),
        (b"\x02" * 70_000, DecodeErrorKind.BUDGET),
    ],
)
def test_bad_frames_end_in_a_typed_error(payload, kind):
    with pytest.raises(DecodeError) as caught:
        tic.decode(payload)
    assert caught.value.kind is kind


def test_parity_bits_of_the_line_are_ignored():
    payload = framed(group("EAST", "006231973"))
    even = bytes(b | 0x80 if b.bit_count() % 2 else b for b in payload)
    assert even != payload
    assert FR.decode(even) == FR.decode(payload)


def test_a_report_comes_back():
    values = {"el.energy.import": 6231973, "el.voltage.l1": 235, "el.demand.max.apparent": 6100}
    readings = tuple(
        Reading(FR.spec.registers[channel], value, NOON) for channel, value in values.items()
    )
    decoded = FR.decode(FR.encode(Report(METER, NOON, readings)))
    assert decoded.readings == readings
    assert decoded.time == NOON
    assert decoded.device["id"] == METER


def test_the_reported_channels_fit_one_frame():
    readings = tuple(Reading(FR.spec.registers[c], 99_999, NOON) for c in FR.spec.reported)
    assert len(FR.encode(Report(METER, NOON, readings))) <= FRAME_MAX


@pytest.mark.parametrize("value", [-1, 10**9])
def test_what_the_label_cannot_hold_is_refused(value):
    reading = Reading(FR.spec.registers["el.energy.import"], value, NOON)
    with pytest.raises(ProfileError):
        FR.encode(Report(METER, NOON, (reading,)))
