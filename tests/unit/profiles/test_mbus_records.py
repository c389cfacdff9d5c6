"""Data records: headers, tables of quantities, coded values, dates, compact frames and rows."""

from datetime import datetime

import pytest

from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.mbus import compact
from firmware_profiles.codecs.mbus.header import Function, header
from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.profile import Meaning, read_row
from firmware_profiles.codecs.mbus.quantity import Kind
from firmware_profiles.codecs.mbus.records import RECORDS_MAX, read_records
from firmware_profiles.codecs.mbus.value import Stamp
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.unit import Unit


def local(*parts):
    """A meter's local time."""
    return datetime(*parts)  # noqa: DTZ001 - a meter's stamp has no zone


def records(octets, **options):
    return read_records(bytes.fromhex(octets), **options)


def only(octets, **options):
    (record,) = records(octets, **options)
    return record


def quantity(octets, **options):
    """(name, unit, exponent, multiplier) of the first record's quantity."""
    found = only(octets, **options).header.quantity
    return found.name, found.unit, found.exponent, found.multiplier


def test_storage_tariff_and_subunit_grow_with_each_dife():
    found = only("c4 d1 62 13 01000000").header
    assert found.storage == 1 | 1 << 1 | 2 << 5
    assert found.tariff == 1 | 2 << 2
    assert found.subunit == 1 | 1 << 1
    assert found.function is Function.INSTANT


def test_the_function_is_read():
    functions = [only(f"{dif:02x}13 0100").header.function for dif in (0x02, 0x12, 0x22, 0x32)]
    assert functions == list(Function)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("0103 01", ("energy", Unit.WH, 0, 1)),
        ("010e 01", ("energy", Unit.J, 6, 1)),
        ("0113 01", ("volume", Unit.M3, -3, 1)),
        ("011b 01", ("mass", Unit.KG, 0, 1)),
        ("0122 01", ("on_time", Unit.SECOND, 0, 3600)),
        ("012b 01", ("power", Unit.W, 0, 1)),
        ("0130 01", ("power", Unit.J_PER_H, 0, 1)),
        ("013b 01", ("flow", Unit.M3_PER_H, -3, 1)),
        ("0140 01", ("flow", Unit.M3_PER_H, -7, 60)),
        ("0148 01", ("flow", Unit.M3_PER_H, -9, 3600)),
        ("0153 01", ("mass_flow", Unit.KG_PER_H, 0, 1)),
        ("015a 01", ("temp.flow", Unit.CELSIUS, -1, 1)),
        ("0162 01", ("temp.delta", Unit.KELVIN, -1, 1)),
        ("0169 01", ("pressure", Unit.BAR, -2, 1)),
        ("016e 01", ("units", Unit.HCA, 0, 1)),
        ("0177 01", ("actuality", Unit.SECOND, 0, 86_400)),
        ("01fd48 01", ("voltage", Unit.V, -1, 1)),
        ("01fd59 01", ("current", Unit.A, -3, 1)),
        ("01fd74 01", ("battery_left", Unit.SECOND, 0, 86_400)),
        ("01fb01 01", ("energy", Unit.WH, 6, 1)),
        ("01fb08 01", ("energy", Unit.J, 8, 1)),
        ("01fb0d 01", ("energy", Unit.J, 2, 41_868)),
        ("01fb1a 01", ("humidity", Unit.PERCENT, -1, 1)),
        ("01fb20 01", ("volume", Unit.M3, -12, 28_316_846_592)),
        ("01fb26 01", ("flow", Unit.M3_PER_H, -12, 3_785_411_784)),
        ("01fb2d 01", ("frequency", Unit.HZ, -2, 1)),
        ("01fdfd02 01", ("battery_left_months", Unit.COUNT, 0, 1)),
        ("016f 01", ("raw", Unit.ONE, 0, 1)),
        ("01ff07 01", ("raw", Unit.ONE, 0, 1)),
    ],
)
def test_the_tables_of_quantities(octets, expected):
    assert quantity(octets) == expected


@pytest.mark.parametrize(
    ("octets", "modifiers"),
    [
        ("04833c 01000000", ("export",)),
        ("04833b 01000000", ("import",)),
        ("04fdc8fc02 01000000", ("l2",)),
        ("04a9ff03 01000000", ("l3",)),
        ("04abff8105 01000000", ("m8105",)),
        ("04935a 01000000", ("duration_58",)),
        ("04fd9afc3f 01000000", ("y3f",)),
        ("0493 4d 01000000", ()),
    ],
)
def test_vifes_mark_a_quantity(octets, modifiers):
    found = only(octets).header.quantity
    assert found.modifiers == (modifiers or ("x4d",))


def test_vifes_scale_a_quantity():
    assert quantity("019377 01")[2] == -2
    assert quantity("019370 01")[2] == -9
    assert quantity("01937d 01")[2] == 0


def test_a_vife_can_make_a_date_a_duration_or_a_count():
    assert only("0293 42 9f2c").header.quantity.kind is Kind.STAMP
    assert str(only("0293 42 9f2c").value) == "2020-12-31"
    assert quantity("02bb56 0300")[1:] == (Unit.SECOND, 0, 3600)
    assert quantity("02bb49 0300")[1] is Unit.COUNT


def test_a_unit_in_plain_text():
    record = only("02fc03 485225 74 d411")
    assert record.header.quantity.unit is Unit.PERCENT
    assert (record.value, record.header.exponent) == (4564, -2)
    assert quantity("017c03 685776 05")[1:3] == (Unit.ONE, 0)
    assert quantity("017c03 68576b 05")[1:3] == (Unit.WH, 3)


def test_makers_may_mean_their_own():
    ime, schneider, qundis = map(maker_code, ("IME", "SEC", "QDS"))
    assert quantity("04ff81843b d1490700", manufacturer=ime)[:3] == ("reactive", Unit.VARH, 1)
    assert quantity("02ff8a48 f401", manufacturer=ime)[:3] == ("frequency", Unit.HZ, -1)
    assert quantity("04ff8a48 f4010000")[0] == "raw"
    assert quantity("844003 01000000", manufacturer=schneider)[:2] == ("reactive", Unit.VARH)
    assert quantity("844003 01000000")[:2] == ("energy", Unit.WH)
    assert quantity("02bb56 0000", manufacturer=qundis)[:2] == ("flow", Unit.M3_PER_H)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("0113 ff", -1),
        ("0113 80", None),
        ("0213 0080", None),
        ("0313 feffff", -2),
        ("0613 000000000080", None),
        ("0713 ffffffffffffff7f", (1 << 63) - 1),
        ("0913 42", 42),
        ("0c13 785634f2", -2_345_678),
        ("0a13 1a00", None),
        ("0a13 00f1", -100),
        ("0013", None),
        ("0813", None),
        ("0513 0000803f", 1_000_000),
        ("0513 000000c0", -2_000_000),
        ("0513 0000c07f", None),
        ("0513 01000000", 0),
        ("0513 ffff7f7f", 340_282_346_638_528_859_811_704_183_484_516_925_440_000_000),
        ("02fd17 ffff", 0xFFFF),
        ("0c78 78563412", "12345678"),
        ("04fd0e 01020304", "04030201"),
        ("0d78 03 434241", "ABC"),
        ("0d78 02 0102", "0201"),
        ("0d13 c2 3412", 1234),
        ("0d13 d2 3412", -1234),
        ("0d13 d1 1a", None),
        ("0d13 e2 feff", -2),
        ("0d13 e9 010203040506070809", "090807060504030201"),
        ("0dff5f 02 0102", "0102"),
    ],
)
def test_values(octets, value):
    record = only(octets)
    assert record.value == value
    assert not isinstance(record.value, float)


@pytest.mark.parametrize(
    ("octets", "stamp"),
    [
        ("026c 9f2c", Stamp(local(2020, 12, 31), date_only=True)),
        ("026c 0000", None),
        ("026c ffff", None),
        ("046d 0b0bcd13", Stamp(local(2014, 3, 13, 11, 11))),
        ("046d 8b8bcd13", Stamp(local(2014, 3, 13, 11, 11), summer=True, invalid=True)),
        ("046d 3b2bcd13", Stamp(local(2014, 3, 13, 11, 59))),
        ("066d 1e0b0bcd1300", Stamp(local(2014, 3, 13, 11, 11, 30))),
        ("066d 9e8b0bcd1300", Stamp(local(2014, 3, 13, 11, 11, 30), summer=True, invalid=True)),
        ("036d 1e0b0b", "11:11:30"),
        ("036d 3f0b0b", None),
    ],
)
def test_dates_and_times(octets, stamp):
    assert only(octets).value == stamp


def test_the_century_of_a_date():
    assert only("026c 01ff").value is None
    assert only("026c e1a1").value.local.year == 1987
    assert only("046d 0020 a101").value.local.year == 2005
    assert only("046d 0040 a101").value.local.year == 2105


def test_fillers_between_records_and_makers_data_at_the_end():
    found = records("2f2f 0113 01 2f 0113 02 0f 2f0113")
    assert [r.value for r in found] == [1, 2, "2F0113"]


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        ("04", DecodeErrorKind.TRUNCATED),
        ("0413 010203", DecodeErrorKind.TRUNCATED),
        ("84", DecodeErrorKind.TRUNCATED),
        ("0493", DecodeErrorKind.TRUNCATED),
        ("0d78", DecodeErrorKind.TRUNCATED),
        ("0d78 05 4142", DecodeErrorKind.TRUNCATED),
        ("02fcf3 4142", DecodeErrorKind.TRUNCATED),
        ("04fc", DecodeErrorKind.TRUNCATED),
        ("84" + "80" * 10 + "00 13 01000000", DecodeErrorKind.MALFORMED),
        ("04" + "93" + "80" * 10 + "00 01000000", DecodeErrorKind.MALFORMED),
        ("3f13 01", DecodeErrorKind.MALFORMED),
        ("8f13 01", DecodeErrorKind.MALFORMED),
        ("0d13 ca 01", DecodeErrorKind.UNSUPPORTED),
        ("0d13 f7 01", DecodeErrorKind.UNSUPPORTED),
        ("0013" * (RECORDS_MAX + 1), DecodeErrorKind.BUDGET),
    ],
)
def test_what_is_no_record_is_refused(octets, kind):
    with pytest.raises(DecodeError) as caught:
        records(octets)
    assert caught.value.kind is kind


def test_ten_extensions_are_allowed():
    assert only("84" + "80" * 9 + "00 13 01000000").value == 1
    assert only("04 93" + "80" * 9 + "00 01000000").value == 1


def test_a_left_block_check_is_not_a_record():
    assert [r.value for r in records("0113 01 de47", leftover=2)] == [1]
    for octets, leftover in [("0113 01 de47", 0), ("0113 01 de4793", 2), ("de47", 2)]:
        with pytest.raises(DecodeError):
            records(octets, leftover=leftover)


def test_the_check_of_the_standard():
    # the check of no octets is the complement of the initial value, and a check is residue-free
    assert crc16_en13757(b"") == 0xFFFF
    assert crc16_en13757(b"123456789") == 0xC2B7
    assert compact.signature(bytes.fromhex("02ff20 0413 4413 615b 6167")) == 0xA8ED


def compacted(full, headers):
    """A compact frame of one-record-a-header application data."""
    fields = b"".join(record.data for record in read_records(full))
    check = crc16_en13757(full).to_bytes(2, "little")
    return compact.signature(headers).to_bytes(2, "little") + check + fields


FULL = bytes.fromhex("0404 1a030000 04843c 00000000 042b 03000000 04ab3c 00000000")
HEADERS = bytes.fromhex("0404 04843c 042b 04ab3c")


def read_compact(octets, formats=compact.FORMATS):
    return compact.read_compact(octets, 0, len(octets), manufacturer=0, formats=formats)


def test_a_compact_frame_of_a_known_format():
    found = read_compact(compacted(FULL, HEADERS))
    assert [r.value for r in found] == [794, 0, 3, 0]
    assert found == read_records(FULL)


def test_a_compact_frame_may_begin_with_fillers():
    assert len(read_compact(b"\x2f\x2f" + compacted(FULL, HEADERS))) == 4


def test_a_compact_frame_is_checked_in_full():
    frame = bytearray(compacted(FULL, HEADERS))
    frame[-1] ^= 1
    with pytest.raises(DecodeError) as caught:
        read_compact(bytes(frame))
    assert caught.value.kind is DecodeErrorKind.CHECKSUM


def test_a_format_is_learnt_from_a_full_frame():
    full, headers = bytes.fromhex("0113 05 0d78 02 4142"), bytes.fromhex("0113 0d78")
    frame = compacted(full, headers)
    with pytest.raises(DecodeError) as caught:
        read_compact(frame)
    assert caught.value.kind is DecodeErrorKind.UNSUPPORTED
    formats = dict(compact.FORMATS)
    compact.learn(formats, read_records(full))
    assert [r.value for r in read_compact(frame, formats)] == [5, "BA"]


def test_every_known_format_has_its_signature():
    for code, headers in compact.FORMATS.items():
        assert compact.signature(b"".join(headers)) == code
        assert all(header(octets).octets == octets for octets in headers)


MIDNIGHT = local(2020, 1, 31)


@pytest.mark.parametrize(
    ("octets", "numbers", "meaning", "second"),
    [
        ("8d04ee1f 06 72fe 0300 1600", (3, 22), Meaning.POSITIVE_STEPS, local(2020, 3, 31)),
        ("8d04ee13 08 3bfe 990000 520000", (99, 52), Meaning.ABSOLUTE, local(2019, 11, 30)),
        ("8d04931f 05 2101 80 ff 05", (None, -1, 5), Meaning.ABSOLUTE, local(2020, 1, 31, 2)),
        (
            "8d04931f 04 910f 01 ff",
            (-1, None),
            Meaning.NEGATIVE_STEPS,
            local(2020, 1, 31, 0, 30),
        ),
    ],
)
def test_rows_of_values(octets, numbers, meaning, second):
    row = read_row(only(octets))
    assert (row.numbers, row.meaning) == (numbers, meaning)
    assert row.time(MIDNIGHT, 1) == second


@pytest.mark.parametrize("octets", ["8d04ee1f 01 72", "8d04ee1f 03 7dfe 00", "8d04ee1f 03 72fb 00"])
def test_a_row_that_we_do_not_know_stays_text(octets):
    record = only(octets)
    assert read_row(record) is None
    assert isinstance(record.value, str)


def test_a_row_beyond_the_calendar_has_no_time():
    row = read_row(only("8d04ee1f 06 72fe 0300 1600"))
    assert row.time(local(9999, 12, 31), 1) is None
