from __future__ import annotations

import contextlib
import json

import pytest

from firmware_profiles import registry
from firmware_profiles.codecs.crc import crc16_arc, crc16_x25
from firmware_profiles.codecs.sml.transport import frame
from firmware_profiles.records import keys_of, payload_of, profile_for
from gateway.drivers import crc
from gateway.drivers.framing import (
    BYTES_MAX,
    P1Splitter,
    ReadoutSplitter,
    SmlSplitter,
    is_p1,
)
from gateway.drivers.listen import SPLITTERS
from meter_sim.field.reports import report_of
from ohmesh.model.errors import DecodeError

READOUT = b"/LGZ5\\2ZMD310.B32\r\n\x021.8.0(000123.4*kWh)\r\n!\r\n\x03"


def p1():
    profile = registry.load("nl_dsmr")
    return profile.encode(report_of(profile, "M1", 1_767_225_600_000))


def readout():
    checked = READOUT[READOUT.index(b"\x02") + 1 :]
    check = 0
    for octet in checked:
        check ^= octet
    return READOUT + bytes((check,))


CASES = {
    "p1": (P1Splitter, p1),
    "sml": (SmlSplitter, lambda: frame(b"x\x1b\x1b\x1b\x1by" * 5 + b"\x1b")),
    "readout": (ReadoutSplitter, readout),
    "pushed": (ReadoutSplitter, lambda: b"/ESY5Q3DA\r\n\r\n1-0:1.8.0(1*kWh)\r\n!\r\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_telegrams_are_found_whatever_the_pieces_and_the_noise(name):
    new, make = CASES[name]
    telegram = make()
    stream = telegram[len(telegram) // 2 :] + b"\x00\xff noise \r\n" + telegram * 3
    whole = new().feed(stream)
    splitter = new()
    single = [t for octet in stream for t in splitter.feed(bytes((octet,)))]
    assert whole == single == [telegram] * 3


@pytest.mark.parametrize("name", ["p1", "readout"])
def test_a_damaged_telegram_is_counted_and_the_next_one_serves(name):
    new, make = CASES[name]
    telegram = make()
    damaged = bytearray(telegram)
    damaged[len(damaged) // 2] ^= 1
    splitter = new()
    assert splitter.feed(bytes(damaged) + telegram) == [telegram]
    assert splitter.dropped == 1


@pytest.mark.parametrize("name", CASES)
def test_a_telegram_that_breaks_off_costs_only_itself(name):
    new, make = CASES[name]
    telegram = make()
    splitter = new()
    found = splitter.feed(telegram[: len(telegram) * 2 // 3] + b"\r\n" + telegram + telegram)
    assert found[-1] == telegram
    assert len(found) >= 1


@pytest.mark.parametrize("name", CASES)
def test_noise_for_ever_takes_no_memory(name):
    new, make = CASES[name]
    splitter = new()
    for _ in range(50):
        assert splitter.feed(b"/\x1b\x1b\x1b\x1b\x01\x01\x01\x01" + b"a" * 8000) == []
        assert len(splitter._buffer) <= BYTES_MAX + 8009
    telegram = make()
    assert telegram in splitter.feed(b"\n!\n" + telegram + telegram)


def test_the_checks_agree_with_the_decoders():
    for octets in (b"", b"123456789", bytes(range(256))):
        assert crc.crc16_arc(octets) == crc16_arc(octets)
        assert crc.crc16_x25(octets) == crc16_x25(octets)


CAPTURED = {
    "dsmr-p1": "p1",
    "dsmr-p1-encrypted": "glo",
    "sml": "sml",
    "iec62056-21": "readout",
    "linky-tic-historic": "tic",
    "linky-tic-standard": "tic",
    "dlms-hdlc-push": "hdlc",
    "dlms-mbus-push": "mbus",
}


def captured(shared, standard):
    """Telegrams of real meters that the decoder takes, with what it reads in them."""
    profile = None
    for line in (shared / "telegrams" / f"{standard}.jsonl").read_text().splitlines():
        record = json.loads(line)
        payload = payload_of(record)
        profile = profile_for(standard, record.get("country", ""))
        keys = keys_of(record)
        with contextlib.suppress(DecodeError):
            decoded = profile.decode(payload, keys=keys)
            yield record["id"], payload, lambda p, o=profile, k=keys: o.decode(p, keys=k), decoded


@pytest.mark.parametrize("standard", CAPTURED)
def test_telegrams_of_real_meters_come_out_of_the_stream_as_they_were(shared, standard):
    count = 0
    for name, payload, decode, decoded in captured(shared, standard):
        marks = {"iec62056-21": b"/", "dsmr-p1": b"!"}
        if marks.get(standard, b"") not in payload:
            continue  # pasted without its first or its last line
        if not payload.endswith(b"\n") and b"!" in payload[-6:]:
            payload += b"\r\n"  # noqa: PLW2901 - pasted without the last line's end
        splitter = SPLITTERS[CAPTURED[standard]]()
        stream = payload[len(payload) // 2 :] + b"\r\n" + payload + b"\x00\x00" + payload + b"\r\n"
        found = [t for at in range(0, len(stream), 7) for t in splitter.feed(stream[at : at + 7])]
        assert found, name
        assert decode(found[-1]).readings == decoded.readings, name
        assert decode(found[-1]).texts == decoded.texts, name
        if found[-1].startswith(b"/"):
            assert is_p1(found[-1]) == (standard == "dsmr-p1"), name
        count += 1
    assert count
