"""The wired frame, the transport header and the two older data structures."""

import pytest

from firmware_profiles.codecs.mbus.link import read_long_frame, write_long_frame
from firmware_profiles.codecs.mbus.makers import maker_code, maker_letters
from firmware_profiles.codecs.mbus.records import read_records, write_records
from firmware_profiles.codecs.mbus.telegram import read_wired
from firmware_profiles.codecs.mbus.transport import read_transport, write_transport
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.unit import Unit

HEADER = bytes.fromhex("72 78563412 2d2c 04 07 2a 00 0000")
VOLUME = bytes.fromhex("0413 d2040000")


def framed(user_data):
    return write_long_frame(0x08, 0x05, user_data)


def refused(frame, kind, *, verify=True):
    with pytest.raises(DecodeError) as caught:
        read_wired(frame, verify=verify)
    assert caught.value.kind is kind
    return caught.value


def test_a_frame_is_checked_and_read():
    telegram = read_wired(framed(HEADER + VOLUME))
    assert telegram.address.number == "12345678"
    assert telegram.address.maker == "KAM"
    assert (telegram.address.version, telegram.address.medium) == (4, "water")
    assert (telegram.access, telegram.status, telegram.primary) == (42, 0, 5)
    (record,) = telegram.records
    assert record.value == 1234
    assert record.header.quantity.unit is Unit.M3
    assert record.header.exponent == -3


def test_each_mark_of_the_frame_counts():
    good = framed(HEADER + VOLUME)
    for position in (0, 1, 2, 3, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 0x01
        with pytest.raises(DecodeError):
            read_wired(bytes(bad))


def test_a_wrong_checksum_is_refused_unless_the_caller_allows_it():
    bad = bytearray(framed(HEADER + VOLUME))
    bad[-2] ^= 0xFF
    assert refused(bytes(bad), DecodeErrorKind.CHECKSUM).offset == len(bad) - 2
    assert read_wired(bytes(bad), verify=False).records[0].value == 1234


def test_a_request_is_no_answer():
    refused(write_long_frame(0x53, 5, HEADER), DecodeErrorKind.UNSUPPORTED)
    refused(b"\xe5", DecodeErrorKind.UNSUPPORTED)
    refused(bytes.fromhex("105b055f16"), DecodeErrorKind.UNSUPPORTED)


def test_access_demand_and_flow_control_are_answers_too():
    for control in (0x08, 0x18, 0x28, 0x38):
        assert read_long_frame(write_long_frame(control, 1, HEADER)).control == control


def test_an_application_error_is_told_in_words():
    error = refused(framed(bytes.fromhex("7008")), DecodeErrorKind.UNSUPPORTED)
    assert "busy" in error.message


def test_octets_behind_the_stop_are_refused():
    refused(framed(HEADER) + b"\x16", DecodeErrorKind.MALFORMED)


def test_older_meters_put_anything_into_the_signature():
    header = HEADER[:-2] + b"\xff\xff"
    assert read_wired(framed(header + VOLUME)).records[0].value == 1234


def test_high_byte_first():
    header = b"\x76" + HEADER[1:]
    telegram = read_wired(framed(header + bytes.fromhex("0413 000004d2 0c13 00001234")))
    assert [r.value for r in telegram.records] == [1234, 1234]


def test_a_frame_is_written_as_it_was_read():
    frame = framed(HEADER + VOLUME + bytes.fromhex("426c 9f2c 0d78 03 434241 0f 0102"))
    link = read_long_frame(frame)
    head = read_transport(frame, link.start, link.end)
    records = read_records(frame, head.start, link.end)
    body = write_transport(head) + write_records(records)
    assert write_long_frame(link.control, link.address, body) == frame


@pytest.mark.parametrize("letters", ["KAM", "ZRI", "AAA", "OHM"])
def test_maker_letters(letters):
    assert maker_letters(maker_code(letters)) == letters
    assert maker_letters(maker_code(letters) | 0x8000) == letters


def fixed(status, units, *counters, ci=0x73):
    return framed(
        bytes([ci]) + bytes.fromhex("78563412 0a") + bytes([status]) + units + b"".join(counters)
    )


def test_the_fixed_structure_in_digits():
    # heat (medium 4): kWh in the first counter, litres in the second
    frame = fixed(
        0, bytes([0x05 | 0x00, 0x29 | 0x40]), bytes.fromhex("01000000"), bytes.fromhex("35010000")
    )
    telegram = read_wired(frame)
    assert telegram.address.number == "12345678"
    assert telegram.address.medium == "heat"
    assert telegram.access == 10
    energy, volume = telegram.records
    assert (energy.value, energy.header.quantity.unit, energy.header.exponent) == (1, Unit.WH, 3)
    assert (volume.value, volume.header.quantity.unit, volume.header.exponent) == (135, Unit.M3, -3)


def test_the_fixed_structure_in_binary_with_a_stored_counter():
    frame = fixed(1, bytes([0xE9, 0x7E]), (1).to_bytes(4, "little"), (135).to_bytes(4, "little"))
    telegram = read_wired(frame)
    assert telegram.address.medium == "water"
    now, stored = telegram.records
    assert [r.value for r in telegram.records] == [1, 135]
    assert (now.header.storage, stored.header.storage) == (0, 1)
    assert stored.header.quantity.unit is Unit.M3


def test_the_fixed_structure_with_the_high_byte_first():
    frame = fixed(1, bytes([0xE9, 0x7E]), (1).to_bytes(4, "big"), (135).to_bytes(4, "big"), ci=0x77)
    assert [r.value for r in read_wired(frame).records] == [1, 135]


def test_a_short_fixed_structure_is_truncated():
    refused(framed(bytes.fromhex("77 7856")), DecodeErrorKind.TRUNCATED)
