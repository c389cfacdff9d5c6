"""SML and the German profile."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.api import Report
from firmware_profiles.codecs.crc import crc16_kermit
from firmware_profiles.codecs.sml import messages as sml
from firmware_profiles.codecs.sml import transport, tree
from firmware_profiles.de_sml.profile import profile
from firmware_profiles.de_sml.server_id import device_number, server_id
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

DE = profile()
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
IMPORT = DE.spec.registers["el.energy.import"]
NET = DE.spec.registers["el.power.net"]
METER = "1EMH0012345678"
FRAME_MAX = 140
POWER = Obis.parse("1-0:16.7.0").to_bytes()


SERVER = server_id(METER)


def pushed(*entries, server=SERVER, time=b""):
    """A frame whose list has these entries."""
    body = [b"", server, b"", time, [sml.encode_entry(entry) for entry in entries], b"", b""]
    return sml.encode_file((sml.Message(b"\x01", 0, 0, sml.GET_LIST_RESPONSE, body),))


def power(number, scaler=-2):
    return sml.Entry(POWER, None, None, 27, scaler, number)


def quantities(payload):
    return [r.quantity for r in DE.decode(payload).readings]


def test_every_captured_file_encodes_to_the_same_bytes(shared_records, payload):
    for record in shared_records("sml.jsonl"):
        octets = payload(record)
        assert sml.encode_file(sml.decode(octets)) == octets, record["id"]


def test_any_damaged_byte_of_a_frame_is_refused(shared_records, payload):
    octets = payload(shared_records("sml.jsonl")[0])
    for position in range(len(octets)):
        damaged = bytearray(octets)
        damaged[position] ^= 0x10
        with pytest.raises(DecodeError):
            DE.decode(bytes(damaged))


def test_a_wrong_checksum_is_refused_unless_told_otherwise(shared_records, payload):
    octets = payload(shared_records("sml.jsonl")[0])
    damaged = octets[:-1] + bytes((octets[-1] ^ 1,))
    with pytest.raises(DecodeError) as caught:
        DE.decode(damaged)
    assert caught.value.kind is DecodeErrorKind.CHECKSUM
    assert DE.decode(damaged, verify=False) == DE.decode(octets)


def test_holley_s_own_crc_and_time():
    """A DTZ541 computes CRC-16/KERMIT, high byte first, and sends the bare second index."""
    value = tree.encode(power(tree.number(3764, signed=True, width=2), -1).value)
    index = tree.encode(tree.number(77, signed=False, width=4))
    entry = b"\x77\x07" + POWER + b"\x01" + index + b"\x62\x1b\x52\xff" + value + b"\x01"
    body = b"\x77\x01\x0b" + SERVER + b"\x01" + index + b"\x71" + entry + b"\x01\x01"
    message = b"\x76\x02\x01\x62\x00\x62\x00\x72\x63\x07\x01" + body
    message += b"\x63" + crc16_kermit(message).to_bytes(2, "big") + b"\x00"
    head = bytes.fromhex("1b1b1b1b01010101") + message + bytes(-len(message) % 4)
    head += bytes.fromhex("1b1b1b1b1a") + bytes((-len(message) % 4,))
    payload = head + crc16_kermit(head).to_bytes(2, "big")
    decoded = DE.decode(payload)
    assert [r.quantity for r in decoded.readings] == [Decimal("376.4")]
    assert decoded.texts["seconds_index"] == "77"
    with pytest.raises(DecodeError):
        DE.decode(payload[:-1] + bytes((payload[-1] ^ 1,)))


def test_a_good_frame_after_a_broken_one_is_read():
    good = pushed(power(tree.number(100, signed=True, width=2)))
    assert quantities(good[:-9] + good) == [Decimal(1)]
    assert quantities(b"\x00\x1b" + good[:-1] + b"\x00" + good) == [Decimal(1)]


def test_false_starts_are_tried_a_few_times_only(monkeypatch):
    """Each literal escape that 01010101 follows looks like a start that leads over all the rest."""
    tried = []
    content = transport._content
    monkeypatch.setattr(transport, "_content", lambda *a, **k: tried.append(1) or content(*a, **k))
    hostile = bytes.fromhex("1b1b1b1b01010101") + bytes.fromhex("1b1b1b1b1b1b1b1b01010101") * 5000
    with pytest.raises(DecodeError):
        DE.decode(hostile)
    assert len(tried) == transport.FRAMES_MAX


@pytest.mark.parametrize("content", [b"", b"\x1b", b"\x1b" * 4, b"\x1b" * 5, b"\x1b" * 11, b"abc"])
@pytest.mark.parametrize("tail", [b"", b"x", b"\x1b"])
def test_escapes_round_trip(content, tail):
    assert transport.unframe(transport.frame(content + tail)) == content + tail


@pytest.mark.parametrize("width", range(1, 9))
@pytest.mark.parametrize("sign", [1, -1])
def test_signed_numbers_of_every_width(width, sign):
    value = sign * ((1 << (8 * width - 1)) - 1)
    octets = tree.encode(tree.number(value, signed=True, width=width))
    assert tree.parse(octets, 0) == ((value, 0x50 | width + 1), width + 1)
    assert quantities(pushed(power(tree.number(value, signed=True, width=width), 0))) == [value]


def test_long_type_length_fields():
    many = [b"x" * 300, [b""] * 20, b"y" * 14, b"z" * 15]
    assert tree.parse(tree.encode(many), 0)[0] == many
    assert tree.encode([b""] * 20).startswith(b"\xf1\x04")
    assert tree.parse(bytes.fromhex("8302") + b"q" * 48, 0)[0] == b"q" * 48


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        ("76", DecodeErrorKind.TRUNCATED),
        ("8f8f8f8f0f", DecodeErrorKind.TRUNCATED),
        ("8001", DecodeErrorKind.MALFORMED),
        ("8000", DecodeErrorKind.MALFORMED),
        ("5f" + "00" * 14, DecodeErrorKind.MALFORMED),
        ("51", DecodeErrorKind.MALFORMED),
        ("22", DecodeErrorKind.MALFORMED),
        ("71" * 40 + "01", DecodeErrorKind.BUDGET),
        ("0501", DecodeErrorKind.TRUNCATED),
    ],
)
def test_bad_trees_end_in_a_typed_error(octets, kind):
    with pytest.raises(DecodeError) as caught:
        tree.parse(bytes.fromhex(octets), 0)
    assert caught.value.kind is kind


def test_dzg_dvs74_powers_above_the_sign_bit_are_positive():
    raw = tree.number(35624 - 65536, signed=True, width=2)
    faulty, fixed = server_id("1DZG0042000001"), server_id("1DZG0060000000")
    assert quantities(pushed(power(raw), server=faulty)) == [Decimal("356.24")]
    assert quantities(pushed(power(raw), server=fixed)) == [Decimal("-299.12")]
    wide = tree.number(-100, signed=True, width=4)
    assert quantities(pushed(power(wide), server=faulty)) == [Decimal(-1)]


def test_only_an_absolute_time_is_a_time():
    number = tree.number(5, signed=True, width=1)
    seconds = int(NOON.timestamp())
    index = [tree.number(1, signed=False, width=1), tree.number(seconds, signed=False, width=4)]
    assert DE.decode(pushed(power(number), time=sml.encode_time(seconds))).time == NOON
    decoded = DE.decode(pushed(power(number), time=index))
    assert decoded.time is None
    assert decoded.texts["seconds_index"] == str(seconds)
    local = [
        tree.number(3, signed=False, width=1),
        [
            tree.number(seconds, signed=False, width=4),
            tree.number(60, signed=True, width=2),
            tree.number(60, signed=True, width=2),
        ],
    ]
    assert DE.decode(pushed(power(number), time=local)).time == NOON


def test_the_number_on_the_meter():
    assert server_id(METER) == bytes.fromhex("0a01454d480000bc614e")
    assert device_number(server_id(METER)) == METER
    assert device_number(bytes.fromhex("06454d4801027153c8c6")) == "06454d4801027153c8c6"
    assert device_number(b"02280816") == "02280816"


def test_unknown_codes_stay_raw():
    entry = sml.Entry(Obis.parse("1-0:99.98.97").to_bytes(), None, None, 199, 0, power_of_two())
    (reading,) = DE.decode(pushed(entry)).readings
    assert reading.register.channel == "raw.1-0:99.98.97"
    assert reading.value == 64


def power_of_two():
    return tree.number(64, signed=False, width=1)


def test_a_report_comes_back():
    readings = (
        Reading(IMPORT, 12_345_678, NOON),
        Reading(NET, -4_308, NOON),
        Reading(DE.spec.registers["el.voltage.l1"], 2301, NOON),
    )
    decoded = DE.decode(DE.encode(Report(METER, NOON, readings)))
    assert decoded.readings == readings
    assert decoded.time == NOON
    assert decoded.device["id"] == METER


def test_the_reported_channels_fit_one_frame():
    readings = tuple(
        Reading(DE.spec.registers[channel], 99_999_999_999, NOON) for channel in DE.spec.reported
    )
    assert len(DE.encode(Report(METER, NOON, readings))) <= FRAME_MAX


def test_a_channel_of_another_profile_is_refused():
    gas = Register("gas.volume", Obis.parse("7-0:3.0.0"), Unit.M3, -3)
    with pytest.raises(ProfileError):
        DE.encode(Report(METER, NOON, (Reading(gas, 1, NOON),)))
