from __future__ import annotations

import json

import pytest

from gateway.drivers.bench import parse_line
from ohmesh.model.errors import ModelError
from ohmesh.model.telegram import Telegram, TelegramKind

GOOD = {"meter": "M1", "profile": "nl_dsmr", "payload_hex": "00ff"}


def test_a_line_is_a_telegram():
    line = json.dumps(GOOD).encode()
    expected = Telegram(TelegramKind.METER, "bench", "M1", "nl_dsmr", 77, b"\x00\xff")
    assert parse_line(line, 77) == expected


def test_its_own_time_goes_before_ours():
    assert parse_line(json.dumps(GOOD | {"received_at_ms": 5}).encode(), 77).received_at_ms == 5


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"meter": "M1"}',
        json.dumps(GOOD | {"meter": "a/b"}).encode(),
        json.dumps(GOOD | {"meter": ""}).encode(),
        json.dumps(GOOD | {"payload_hex": ""}).encode(),
        json.dumps(GOOD | {"payload_hex": "0"}).encode(),
        json.dumps(GOOD | {"payload_hex": "zz"}).encode(),
        json.dumps(GOOD | {"received_at_ms": "now"}).encode(),
        json.dumps(GOOD | {"recieved_at_ms": 5}).encode(),
        b'{"meter": "M1", "profile": "' + b"\xc3" + b'", "payload_hex": ""}',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_one_error(line):
    with pytest.raises(ModelError):
        parse_line(line, 0)
