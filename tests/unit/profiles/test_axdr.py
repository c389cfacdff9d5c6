"""A-XDR data: every type, and what must be refused."""

from decimal import Decimal

import pytest

from firmware_profiles.codecs import axdr
from ohmesh.model.errors import DecodeError, DecodeErrorKind


@pytest.mark.parametrize(
    ("hexed", "value"),
    [
        ("00", None),
        ("ff", None),
        ("0301", True),
        ("0300", False),
        ("040aa540", axdr.BitString(10, b"\xa5\x40")),
        ("05ffffffff", -1),
        ("06ffffffff", 0xFFFFFFFF),
        ("0903010203", b"\x01\x02\x03"),
        ("0a024f4b", "OK"),
        ("0c03e282ac", "€"),
        ("0d12", 0x12),
        ("0f80", -128),
        ("108000", -32768),
        ("11ff", 255),
        ("12ffff", 65535),
        ("14ffffffffffffffff", -1),
        ("15ffffffffffffffff", (1 << 64) - 1),
        ("161e", 30),
        ("1743663333", Decimal("230.2")),
        ("1780000000", Decimal("-0")),
        ("177f7fffff", Decimal("3.4028235E+38")),
        ("18406cc66666666666", Decimal("230.2")),
        ("1907e6060f03173b3bff800000", bytes.fromhex("07e6060f03173b3bff800000")),
        ("1a07e6060f03", bytes.fromhex("07e6060f03")),
        ("1b173b3bff", bytes.fromhex("173b3bff")),
        ("0203060000000111020100", (1, 2, ())),
        ("0100", ()),
        ("09820002abcd", b"\xab\xcd"),
    ],
)
def test_every_type(hexed, value):
    decoded, offset = axdr.decode(bytes.fromhex(hexed))
    assert decoded == value
    assert type(decoded) is type(value)
    assert offset == len(hexed) // 2


def test_a_compact_array_says_its_type_once():
    structures = bytes.fromhex("13020212060c000100000010000200000020")
    assert axdr.decode_whole(structures) == ((1, 16), (2, 32))
    nested = bytes.fromhex("13010002110401020304")
    assert axdr.decode_whole(nested) == ((1, 2), (3, 4))


T, M, U, B = (
    DecodeErrorKind.TRUNCATED,
    DecodeErrorKind.MALFORMED,
    DecodeErrorKind.UNSUPPORTED,
    DecodeErrorKind.BUDGET,
)


@pytest.mark.parametrize(
    ("hexed", "kind"),
    [
        ("01ff02", M),
        ("0282ffff06", T),
        ("01847fffffff00", T),
        ("", T),
        ("0600", T),
        ("0902aa", T),
        ("04ffaa", M),
        ("63", U),
        ("177f800000", U),
        ("0101" * 40 + "00", B),
        ("1300021100", M),
        ("13000401020304", M),
        ("1302ff", M),
        ("131203000102", T),
        ("13" + "01ffff" * 20 + "1101ff", B),
        ("1301ffff000100", B),
        ("0109" + "00" * 2, T),
    ],
)
def test_what_is_wrong_is_refused(hexed, kind):
    with pytest.raises(DecodeError) as caught:
        axdr.decode_whole(bytes.fromhex(hexed))
    assert caught.value.kind is kind


def test_budgets_hold_for_items_and_bytes():
    many = b"\x01\x82\x10\x01" + b"\x00" * 0x1001
    large = b"\x09\x83\x01\x00\x00" + bytes(0x10000)
    for data in (many, large):
        with pytest.raises(DecodeError) as caught:
            axdr.decode(data)
        assert caught.value.kind is B
    full = b"\x01\x82\x0f\xff" + b"\x00" * 0x0FFF
    assert len(axdr.decode_whole(full)) == 0x0FFF


def test_bytes_behind_a_value_are_refused():
    with pytest.raises(DecodeError, match="behind"):
        axdr.decode_whole(b"\x00\x00")


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (axdr.structure(axdr.uint8(1), axdr.int64(-5)), (1, -5)),
        (axdr.array(*[axdr.null()] * 200), (None,) * 200),
        (axdr.octets(bytes(300)), bytes(300)),
        (axdr.visible("x" * 130), "x" * 130),
        (axdr.bits(axdr.BitString(3, b"\xe0")), axdr.BitString(3, b"\xe0")),
        (axdr.boolean(1), True),
    ],
)
def test_what_is_written_is_read(encoded, value):
    assert axdr.decode_whole(encoded) == value


def test_an_integer_that_does_not_fit_is_refused():
    with pytest.raises(OverflowError):
        axdr.uint16(65536)


def test_a_compact_array_cannot_claim_what_takes_no_bytes():
    """46,594 times null-data, in 21 bytes; the budget of a session alone would let it."""
    claim = bytes.fromhex("1301000801b601000100000003c7")
    with pytest.raises(DecodeError) as caught:
        axdr.decode(claim, items_max=axdr.BYTES_MAX)
    assert caught.value.kind is DecodeErrorKind.BUDGET
