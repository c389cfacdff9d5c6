"""Round trips and garbage: P1, HDLC, A-XDR, the profiles built on them."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles import registry
from firmware_profiles.api import Report
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.crc import crc16_arc, crc16_modbus, crc16_x25
from firmware_profiles.codecs.dlms.transport import blocks_of, unwrap, wrapper
from firmware_profiles.codecs.hdlc import Frame, messages_of, parse_frames
from firmware_profiles.codecs.number import number_text, parse_number
from firmware_profiles.codecs.p1.telegram import P1Line, P1Telegram, parse_p1
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Reading

NL, NO = registry.load("nl_dsmr"), registry.load("no_han")
moments = st.integers(0, 30 * 365 * 86_400).map(
    lambda s: datetime(2001, 1, 2, tzinfo=UTC) + timedelta(seconds=s)
)
meters = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=24)


def bitwise(data, polynomial, crc):
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc


@given(st.binary(max_size=600))
def test_crcs_agree_with_their_definition(data):
    assert crc16_x25(data) == bitwise(data, 0x8408, 0xFFFF) ^ 0xFFFF
    assert crc16_arc(data) == bitwise(data, 0xA001, 0)
    assert crc16_modbus(data) == bitwise(data, 0xA001, 0xFFFF)


@given(st.integers(-(10**18), 10**18), st.integers(-12, 6), st.integers(1, 9))
def test_numbers_are_written_and_read_exactly(mantissa, exponent, digits):
    text = number_text(mantissa, exponent, whole_digits=digits)
    read, scale = parse_number(text)
    assert read * Fraction(10) ** scale == mantissa * Fraction(10) ** exponent


@given(st.one_of(st.text(max_size=30), st.text("0123456789.,+-", max_size=45)))
def test_any_text_is_a_number_or_a_decode_error(text):
    try:
        mantissa, exponent = parse_number(text)
    except DecodeError:
        return
    assert mantissa * Fraction(10) ** exponent == Fraction(text.replace(",", "."))


addresses = st.integers(0, 3).flatmap(
    lambda n: st.binary(min_size=n + 1, max_size=n + 1).map(
        lambda b: bytes(x & 0xFE for x in b[:-1]) + bytes((b[-1] | 1,))
    )
)
frames = st.builds(
    Frame, addresses, addresses, st.integers(0, 255), st.binary(max_size=300), st.booleans()
)


@given(st.lists(frames, min_size=1, max_size=5))
def test_frames_come_back(wanted):
    stream = b"".join(frame.to_bytes() for frame in wanted)
    assert list(parse_frames(stream)) == wanted


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_frames_or_a_decode_error(data, verify):
    try:
        messages_of(parse_frames(b"\x7e" + data, verify=verify))
    except DecodeError:
        return


scalars = st.one_of(
    st.integers(0, 0xFFFFFFFF).map(lambda v: (axdr.uint32(v), v)),
    st.integers(-(1 << 15), (1 << 15) - 1).map(lambda v: (axdr.int16(v), v)),
    st.binary(max_size=200).map(lambda v: (axdr.octets(v), v)),
    st.text("abcXYZ 0189", max_size=200).map(lambda v: (axdr.visible(v), v)),
    st.just((axdr.null(), None)),
)
trees = st.recursive(
    scalars,
    lambda inner: st.tuples(
        st.sampled_from((axdr.structure, axdr.array)), st.lists(inner, max_size=6)
    ).map(lambda t: (t[0](*(e for e, _ in t[1])), tuple(v for _, v in t[1]))),
    max_leaves=12,
)


@given(trees)
def test_trees_come_back(tree):
    encoded, value = tree
    assert axdr.decode_whole(encoded) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_data_or_a_decode_error(data):
    try:
        axdr.decode(data)
    except DecodeError:
        return


@given(st.sampled_from([1, 2, 19]), st.binary(max_size=200))
def test_any_list_is_data_or_a_decode_error(tag, data):
    test_any_bytes_are_data_or_a_decode_error.hypothesis.inner_test(bytes((tag,)) + data)


@given(st.binary(min_size=1, max_size=500), st.integers(1, 100))
def test_blocks_are_joined(apdu, size):
    plain = b"\x0f" + apdu
    whole = [Frame(b"\x03", b"\x05", 0x13, block).to_bytes() for block in blocks_of(plain, size)]
    assert unwrap(b"".join(whole)).apdus == (plain,)
    assert unwrap(wrapper(plain, source=1, destination=16)).apdus == (plain,)


texts = st.text("ABCabc0123456789.*-:", max_size=20)
lines = st.builds(
    P1Line,
    texts.map(lambda t: f"1-0:{t}"),
    st.lists(texts, min_size=1, max_size=3).map(")(".join),
    texts,
)


@given(st.lists(lines, max_size=20), st.booleans())
def test_p1_telegrams_come_back(wanted, blank):
    telegram = P1Telegram("OHM5X", tuple(wanted), blank, crc=0)
    read = parse_p1(telegram.to_bytes())
    assert (read.identification, read.lines, read.blank) == ("OHM5X", tuple(wanted), blank)
    assert read.to_bytes() == telegram.to_bytes()


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_a_telegram_or_a_decode_error(data, verify):
    for profile in (NL, NO):
        for start in (b"", b"/", b"\x0f", b"\x7e\xa0", b"\xdb\x08", b"\xe0", b"\x68", b"\0\1"):
            try:
                profile.decode(start + data, verify=verify)
            except DecodeError:
                continue


def reports(profile, limit):
    registers = profile.spec.registers
    values = st.dictionaries(
        st.sampled_from(sorted(registers)), st.integers(0, limit), min_size=1, max_size=12
    )
    return st.builds(
        lambda meter, time, chosen: Report(
            meter,
            time,
            tuple(Reading(registers[channel], value, time) for channel, value in chosen.items()),
        ),
        meters,
        moments,
        values,
    )


@given(reports(NL, 10**12))
def test_dutch_reports_come_back(report):
    decoded = NL.decode(NL.encode(report))
    assert decoded.readings == report.readings
    assert decoded.time == report.time


@given(reports(NO, 30_000))
def test_norwegian_reports_come_back(report):
    decoded = NO.decode(NO.encode(report))
    assert decoded.readings == report.readings
    assert decoded.time == report.time
    assert decoded.device["serial"] == report.meter
