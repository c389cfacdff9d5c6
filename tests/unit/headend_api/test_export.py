"""Files of readings: the same values in every format, exact and inert."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.api.export import tables
from headend.api.export.columns import columns_of
from headend.api.export.formats import Format, negotiate
from headend.api.export.tables import ArrowWriter, CsvWriter, Dialect, Meaning, XlsxWriter, inert

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
CHANNELS = {3: Meaning("el.energy.import", -3, "kWh"), 7: Meaning("el.power.import", 0, "W")}
METERS = {1: "M1", 5: "M5"}
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
VALUES = st.integers(min_value=-(2**63), max_value=2**63 - 1)
MOMENTS = st.integers(min_value=-(10**15), max_value=10**16)
GROUPS = st.dictionaries(
    st.tuples(st.sampled_from(list(METERS)), st.sampled_from(list(CHANNELS))),
    st.dictionaries(MOMENTS, st.tuples(VALUES, st.integers(0, 63)), min_size=1, max_size=5),
)


def packed(groups):
    """Rows as PostgreSQL packs them; within a group in no order."""
    return [
        {
            "meter_id": meter,
            "channel": channel,
            "times": b"".join(struct.pack(">q", t) for t in reversed(values)),
            "amounts": b"".join(struct.pack(">q", values[t][0]) for t in reversed(values)),
            "flags": b"".join(struct.pack(">i", values[t][1]) for t in reversed(values)),
        }
        for (meter, channel), values in groups.items()
    ]


def whole(writer, *blocks):
    return b"".join([*(writer.write(METERS, block) for block in blocks), *writer.end()])


def expected(groups):
    return [
        (METERS[meter], CHANNELS[channel].name, EPOCH + timedelta(microseconds=t), value)
        for (meter, channel), values in sorted(groups.items())
        for t, (value, _) in sorted(values.items())
    ]


@given(GROUPS)
def test_parquet_and_arrow_hold_what_the_store_holds(groups):
    block = columns_of(packed(groups), METERS)
    files = [whole(ArrowWriter(CHANNELS, parquet=p), block, block) for p in (True, False)]
    for table in (pq.read_table(io.BytesIO(files[0])), pa.ipc.open_stream(files[1]).read_all()):
        rows = [(r["meter"], r["channel"], r["time"], r["value"]) for r in table.to_pylist()]
        assert rows == expected(groups) * 2


@given(GROUPS, st.sampled_from([Dialect(), Dialect(";", ",", bom=True)]))
def test_a_csv_is_exact_in_its_unit(groups, dialect):
    text = whole(CsvWriter(CHANNELS, dialect), columns_of(packed(groups), METERS)).decode()
    assert text.startswith("\ufeff") == dialect.bom
    lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=dialect.delimiter))
    assert tuple(lines[0]) == tables.HEADINGS
    scaler = {c.name: c.scaler for c in CHANNELS.values()}
    assert [
        (meter, channel, int(Decimal(value.replace(dialect.decimal, ".")).scaleb(-scaler[channel])))
        for meter, channel, _, value, _, _ in lines[1:]
    ] == [(meter, channel, value) for meter, channel, _, value in expected(groups)]


def sheet_of(octets):
    with zipfile.ZipFile(io.BytesIO(octets)) as book:
        sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))
    return [
        [cell.findtext(f"{SHEET}v") or cell.findtext(f"{SHEET}is/{SHEET}t") for cell in row]
        for row in sheet.iter(f"{SHEET}row")
    ]


@given(GROUPS)
def test_meters_come_in_the_order_of_their_names_and_not_of_their_numbers(groups):
    block = columns_of(packed(groups), [5, 1])
    keys = list(
        zip(block.meter.tolist(), block.channel.tolist(), block.ts_us.tolist(), strict=True)
    )
    assert keys == sorted(keys, key=lambda key: (-key[0], *key[1:]))


def one_group(count):
    return columns_of(packed({(1, 3): {i: (i, 0) for i in range(count)}}), METERS)


def test_a_workbook_has_numbers_and_dates():
    rows = sheet_of(whole(XlsxWriter(CHANNELS), one_group(3)))
    assert rows[0][:3] == ["meter", "channel", "time (UTC)"]
    assert [(row[0], Decimal(row[3])) for row in rows[1:]] == [
        ("M1", Decimal(i).scaleb(-3)) for i in range(3)
    ]


def test_a_full_sheet_says_so(monkeypatch):
    monkeypatch.setattr(tables, "XLSX_ROWS_MAX", 3)
    rows = sheet_of(whole(XlsxWriter(CHANNELS), one_group(5), one_group(5)))
    assert len(rows) == 4
    assert rows[-1][0] == tables.SHEET_FULL


def test_nothing_is_a_file_too():
    block = columns_of([], [])
    assert len(block) == 0
    assert whole(CsvWriter(CHANNELS, Dialect()), block).decode().strip() == ",".join(
        tables.HEADINGS
    )
    assert pq.read_table(io.BytesIO(whole(ArrowWriter({}, parquet=True), block))).num_rows == 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_text_is_a_formula(text):
    assert inert(text) == f"'{text}"
    assert inert(f"a{text}") == f"a{text}"


@pytest.mark.parametrize(
    ("word", "accept", "expected"),
    [
        (None, "*/*", Format.CSV),
        (None, "", Format.CSV),
        ("xlsx", "text/csv", Format.XLSX),
        (None, "application/vnd.apache.parquet", Format.PARQUET),
        (None, "text/csv;q=0.1, application/vnd.apache.arrow.stream;q=0.9", Format.ARROW),
        (None, "application/vnd.apache.parquet;q=0, text/html", Format.CSV),
        (None, "text/csv;q=x, " * 999, Format.CSV),
    ],
)
def test_the_form_is_the_callers(word, accept, expected):
    offered = (Format.CSV, Format.XLSX, Format.PARQUET, Format.ARROW)
    assert negotiate(word, accept, offered) is expected
