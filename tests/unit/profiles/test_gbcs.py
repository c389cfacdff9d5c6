"""GBCS headers and the profile of Great Britain."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs import gbcs
from firmware_profiles.gb_smets.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError

GB = profile()
MESSAGE = gbcs.Message(
    kind=gbcs.CraFlag.RESPONSE,
    counter=1000,
    originator=bytes.fromhex("1CC11BB100001D02"),
    recipient=bytes.fromhex("90B3D51F30010000"),
    code=0x69,
    payload=bytes.fromhex("DA20BD52D8000001" + "05FE7AFC53" + "010100"),
    mac=b"m" * 12,
)


def test_captured_messages(shared_records, payload):
    for record in shared_records("gbcs.jsonl"):
        octets, expected = payload(record), record["expected"]
        assert gbcs.encode(gbcs.decode(octets)) == octets
        texts = GB.decode(octets).texts
        for name, theirs in {"cra_flag": "cra_flag", "message_code": "message_code"}.items():
            assert texts[name] == expected[theirs]["value"]
        assert texts["mac"] == expected["mac_hex"]["value"].lower()
        if "data[0]" in expected:
            assert texts["data[0]"] == str(expected["data[0]"]["value"])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mac": b""},
        {"signature": b"s" * 64},
        {"supplement": b"p" * 16},
        {"payload": b"\x30" * 1000},
        {"payload": b""},
    ],
)
def test_messages_round_trip(change):
    message = replace(MESSAGE, **change)
    assert gbcs.decode(gbcs.encode(message)) == message


def test_the_device_is_the_one_that_answers():
    assert GB.decode(gbcs.encode(MESSAGE)).device == {"id": "1cc11bb100001d02"}
    command = replace(MESSAGE, kind=gbcs.CraFlag.COMMAND)
    assert GB.decode(gbcs.encode(command)).device == {"id": "90b3d51f30010000"}


def test_a_failed_read_is_told():
    failed = replace(MESSAGE, payload=bytes.fromhex("DA20BD52D8000001" + "00" + "010103"))
    texts = GB.decode(gbcs.encode(failed)).texts
    assert (texts["data[0]"], texts["error[0]"]) == ("None", "3")


@pytest.mark.parametrize(("floor", "refused"), [(999, False), (1000, True), (2000, True)])
def test_a_lower_counter_is_a_replay(floor, refused):
    keys = Keys(bytes(16), counter_floor=floor)
    octets = gbcs.encode(MESSAGE)
    if not refused:
        assert GB.decode(octets, keys=keys).counter == 1000
        return
    with pytest.raises(DecodeError) as caught:
        GB.decode(octets, keys=keys)
    assert caught.value.kind is DecodeErrorKind.REPLAY


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"", DecodeErrorKind.TRUNCATED),
        (b"\xdd", DecodeErrorKind.TRUNCATED),
        (b"\xdd" + bytes(6) + b"\x05\x11\0\0\0\0", DecodeErrorKind.TRUNCATED),
        (b"\xdd" + bytes(6) + b"\x83", DecodeErrorKind.MALFORMED),
        (b"\xdf\x08" + bytes(8), DecodeErrorKind.MALFORMED),
        (b"\xdf\x09\x04" + bytes(8), DecodeErrorKind.MALFORMED),
        (gbcs.encode(MESSAGE)[:-1], DecodeErrorKind.TRUNCATED),
        (gbcs.encode(MESSAGE) + b"\0", DecodeErrorKind.MALFORMED),
        (gbcs.encode(replace(MESSAGE, mac=b"")) + b"\0", DecodeErrorKind.MALFORMED),
        (gbcs.encode(replace(MESSAGE, payload=b"\xda")), DecodeErrorKind.TRUNCATED),
        (
            gbcs.encode(replace(MESSAGE, payload=b"\xda" + bytes(6) + b"\x82\xff\xff")),
            DecodeErrorKind.TRUNCATED,
        ),
        (
            gbcs.encode(replace(MESSAGE, payload=b"\xda" + bytes(6) + b"\x01\x00\x00")),
            DecodeErrorKind.MALFORMED,
        ),
    ],
)
def test_bad_messages_end_in_a_typed_error(octets, kind):
    with pytest.raises(DecodeError) as caught:
        GB.decode(octets)
    assert caught.value.kind is kind


def test_nothing_is_sent_without_keys():
    with pytest.raises(ProfileError):
        GB.encode(Report("1", datetime(2026, 7, 1, tzinfo=UTC), ()))
