"""Whatever happens to a telegram, decoding ends in values or in a DecodeError."""

import pytest

from ohmesh.model.errors import DecodeError

FILES = [
    "dsmr-p1.jsonl",
    "dlms-han-push.jsonl",
    "dlms-hdlc-push.jsonl",
    "dlms-mbus-push.jsonl",
    "dlms-wrapper-glo.jsonl",
    "dsmr-p1-encrypted.jsonl",
    "hdlc.jsonl",
]


def ends_well(record, payload, *, verify):
    """Decode; anything but a DecodeError fails the test that called."""
    try:
        record.profile.decode(payload, keys=record.keys, verify=verify)
    except DecodeError:
        return
    except Exception as error:
        raise AssertionError(f"{record.id}: {payload.hex()}") from error


def damage(record, stride):
    """Each cut and each flipped byte, with the checks off so that the parsers see the damage."""
    payload = record.payload
    for position in range(0, len(payload), stride):
        ends_well(record, payload[:position], verify=False)
        flipped = bytearray(payload)
        flipped[position] ^= 0xFF if position % 2 else 1 << position % 8
        ends_well(record, bytes(flipped), verify=False)
        ends_well(record, bytes(flipped), verify=True)


def test_shipped_samples(samples):
    for record in samples:
        damage(record, 1)


@pytest.mark.parametrize("name", FILES)
def test_captured_telegrams(captured, name):
    for record in captured(name):
        damage(record, 1)
