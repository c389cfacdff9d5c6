"""A known shape says what the full decoder says, or nothing: for every telegram, damaged ones too.

Damage is done at any byte, and for half of them the checks are mended afterwards, so that it gets
past them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_profiles import registry
from firmware_profiles.api import Report
from firmware_profiles.codecs.crc import crc16_arc, crc16_x25
from firmware_profiles.codecs.sml.learn import spans
from headend.ingest.decode import Meter, decode, received_us
from headend.ingest.shapes import Reader, same
from ohmesh.model.errors import DecodeError, OhmeshError
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind

SHARED = Path(__file__).parents[4] / "shared" / "telegrams"
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEARNING = [n for n in registry.names() if hasattr(registry.load(n), "learn")]


def x25(octets: bytes) -> bytes:
    return crc16_x25(octets).to_bytes(2, "little")


def mended(payload: bytes) -> bytes:
    """The telegram with fresh checks, as far as its frame can still be read."""
    if payload[:1] == b"\x7e":
        return payload[:1] + payload[1:-3] + x25(payload[1:-3]) + payload[-1:]
    if payload[:4] == b"\x1b\x1b\x1b\x1b":
        octets = bytearray(payload)
        try:
            for start, stop in spans(payload):
                octets[stop - 3 : stop - 1] = x25(bytes(octets[start : stop - 4]))
        except (DecodeError, IndexError):
            return payload
        return bytes(octets[:-2]) + x25(bytes(octets[:-2]))
    if payload[:1] == b"/" and b"!" in payload:
        end = payload.index(b"!") + 1
        return payload[:end] + b"%04X\r\n" % crc16_arc(payload[:end])
    return payload


def captured() -> list[tuple[str, bytes]]:
    found = []
    for file in sorted(SHARED.glob("*.jsonl")) if SHARED.exists() else []:
        for line in file.read_text().splitlines():
            record = json.loads(line)
            text = record.get("telegram_text", "").encode("latin-1")
            payload = text or bytes.fromhex(record["telegram_hex"])
            names = [p.spec.name for p in registry.for_standard(record["standard"])]
            found += [(name, payload) for name in names]
    return found


def simulated() -> list[tuple[str, bytes]]:
    found = []
    for name in LEARNING:
        profile = registry.load(name)
        spec = profile.spec
        for value in (0, 1234, 70_000):
            readings = [Reading(spec.registers[c], value, AT) for c in spec.reported]
            try:
                found.append((name, profile.encode(Report("M1234567", AT, tuple(readings)))))
            except OhmeshError:
                continue
    return found


def learned() -> list[tuple[str, bytes, Reader]]:
    found = []
    for name, payload in captured() + simulated():
        learn = getattr(registry.load(name), "learn", None)
        if learn is None or full(name, payload).reason is not None:
            continue
        template = learn(payload)
        if template is not None:
            found.append((name, payload, Reader(template)))
    return found


def telegram(payload: bytes) -> Telegram:
    return Telegram(TelegramKind.METER, "bench", "M1", "", 1_767_225_600_000, payload)


def full(name: str, payload: bytes):
    return decode(telegram(payload), Meter(1, 1, "M1", "M1", name, 1))


def agrees(name: str, payload: bytes, reader: Reader) -> bool:
    """Whether the shape covers the telegram; it must say then what the full decoder says."""
    block, taken = reader.read([payload], [received_us(telegram(payload))])
    if taken:
        outcome = full(name, payload)
        assert outcome.reason is None, outcome.reason
        assert same(block, 0, outcome.values)
    return bool(taken)


KNOWN = learned()


def test_simulated_telegrams_of_the_common_profiles_have_shapes():
    names = {name for name, _, _ in KNOWN}
    assert names >= {"no_han", "de_sml", "kr_dlms", "nl_dsmr", "be_emucs", "se_h1"}


def test_what_was_learned_is_read_as_the_full_decoder_reads_it():
    for name, payload, reader in KNOWN:
        assert agrees(name, payload, reader), name


def test_another_value_of_the_same_shape_is_covered():
    for name, payload, reader in KNOWN:
        other = [p for n, p in simulated() if n == name and len(p) == len(payload)]
        assert payload not in other or sum(agrees(name, p, reader) for p in other) >= 1


@pytest.mark.skipif(not SHARED.exists(), reason="the captured telegrams are not beside the project")
def test_captured_telegrams_of_one_shape_share_it():
    """Telegrams that fit a shape learned from another telegram say what they say."""
    shared = 0
    for name, payload, reader in KNOWN:
        for other_name, other in captured():
            if other_name == name and other != payload and len(other) == len(payload):
                shared += agrees(name, other, reader)
    assert shared >= 2


@settings(max_examples=500)
@given(st.data())
def test_a_damaged_telegram_is_never_read_otherwise(data):
    name, payload, reader = data.draw(st.sampled_from(KNOWN))
    octets = bytearray(payload)
    places = st.integers(0, len(octets) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        octets[place] = data.draw(st.integers(0, 255) | st.sampled_from(b"\x1b\x00\x01KAI6!/)(-"))
    damaged = bytes(octets)
    if data.draw(st.booleans()):
        damaged = mended(damaged)
    if len(damaged) == len(payload):
        agrees(name, damaged, reader)


@settings(max_examples=250)
@given(st.data())
def test_free_bytes_may_hold_anything(data):
    """All that may differ is filled anew at once, and the checks are mended."""
    name, payload, reader = data.draw(st.sampled_from(KNOWN))
    octets = bytearray(payload)
    free = [i for i, fixed in enumerate(reader.template.mask) if not fixed]
    digits = payload[:1] == b"/"
    given_ = data.draw(
        st.lists(
            st.sampled_from(b"0123456789") if digits else st.integers(0, 255),
            min_size=len(free),
            max_size=len(free),
        )
    )
    for place, octet in zip(free, given_, strict=True):
        octets[place] = octet
    filled = mended(bytes(octets))
    if len(filled) == len(payload):
        agrees(name, filled, reader)


def test_a_batch_is_read_row_by_row_as_each_alone():
    for name, payload, reader in KNOWN:
        broken = bytearray(payload)
        broken[-2] ^= 0xFF
        block, taken = reader.read([payload, bytes(broken), payload], [5, 6, 7])
        assert 0 in taken
        assert 2 in taken
        assert len(block.values) == len(taken)
        assert 1 not in taken or full(name, bytes(broken)).reason is None
