"""Readings as files, block by block: a writer is fed columns and gives octets.

A reading is a row `meter, channel, time, value, scaler, unit, quality`: the value is an integer
times 10^scaler (exact in every format), `time` UTC; in CSV and XLSX the value is written out in
its unit and the scaler left away, because people read those.
"""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import xlsxwriter

from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headend.api.export.columns import Columns

HEADINGS: Final = ("meter", "channel", "time", "value", "unit", "quality")
XLSX_ROWS_MAX: Final = 1_048_575
"""A sheet has 1 048 576 rows, the heading is one of them."""
SHEET_FULL: Final = "the sheet is full: ask for less, or for Parquet"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_US: Final = 946_684_800_000_000
_QUALITY: Final = [
    "|".join(f.name.lower() for f in Quality(flags) if f.name) for flags in range(64)
]
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A channel: its name, the power of ten of its values and their unit."""

    name: str
    scaler: int
    unit: str


class Writer(Protocol):
    """Columns in, octets out."""

    def write(self, meters: Mapping[int, str], columns: Columns) -> bytes:
        """Octets that are ready after these rows, of meters with these names; may be none."""

    def end(self) -> Iterator[bytes]:
        """What is left, in parts."""


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula (CWE-1236): an apostrophe goes before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV is written: `delimiter`, `decimal` mark, whether a byte order mark leads."""

    delimiter: str = ","
    decimal: str = "."
    bom: bool = False


class CsvWriter:
    """Text by RFC 4180."""

    def __init__(self, channels: Mapping[int, Meaning], dialect: Dialect) -> None:
        self._channels = channels
        self._dialect = dialect
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text, delimiter=dialect.delimiter)
        if dialect.bom:
            self._text.write("\ufeff")
        self._csv.writerow(HEADINGS)

    def write(self, meters: Mapping[int, str], columns: Columns) -> bytes:
        """See Writer."""
        mark = self._dialect.decimal
        self._csv.writerows(
            (
                inert(meter),
                inert(channel),
                f"{time:%Y-%m-%dT%H:%M:%SZ}",
                _written(value, mark),
                unit,
                quality,
            )
            for meter, channel, time, value, unit, quality in _people(
                columns, meters, self._channels
            )
        )
        return self._taken()

    def end(self) -> Iterator[bytes]:
        """See Writer."""
        yield self._taken()

    def _taken(self) -> bytes:
        octets = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return octets


def _written(value: Decimal, mark: str) -> str:
    text = f"{value:f}"
    return text if mark == "." else text.replace(".", mark)


def _people(
    columns: Columns, meters: Mapping[int, str], channels: Mapping[int, Meaning]
) -> Iterator[tuple[str, str, datetime, Decimal, str, str]]:
    """Rows with the value in its unit."""
    for meter, channel, ts_us, value, status in zip(
        columns.meter.tolist(),
        columns.channel.tolist(),
        columns.ts_us.tolist(),
        columns.value.tolist(),
        columns.status.tolist(),
        strict=True,
    ):
        meaning = channels[channel]
        yield (
            meters[meter],
            meaning.name,
            _EPOCH + timedelta(microseconds=ts_us),
            Decimal(value).scaleb(meaning.scaler),
            meaning.unit,
            _QUALITY[status],
        )


class XlsxWriter:
    """A workbook of one sheet, kept on disk until it is whole: its index comes last."""

    def __init__(self, channels: Mapping[int, Meaning]) -> None:
        self._channels = channels
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._book = xlsxwriter.Workbook(
            self._file, {"constant_memory": True, "strings_to_formulas": False}
        )
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._sheet = self._book.add_worksheet("readings")
        self._sheet.write_row(0, 0, ("meter", "channel", "time (UTC)", *HEADINGS[3:]))
        self._sheet.freeze_panes(1, 0)
        self._row = 1

    def write(self, meters: Mapping[int, str], columns: Columns) -> bytes:
        """See Writer. Rows behind the sheet's last are left away, and its last row says so."""
        for meter, channel, time, value, unit, quality in _people(columns, meters, self._channels):
            if self._row >= XLSX_ROWS_MAX:
                self._sheet.write_string(XLSX_ROWS_MAX, 0, SHEET_FULL)
                break
            self._sheet.write_string(self._row, 0, meter)
            self._sheet.write_string(self._row, 1, channel)
            self._sheet.write_datetime(self._row, 2, time.replace(tzinfo=None), self._time)
            self._sheet.write_number(self._row, 3, value)
            self._sheet.write_string(self._row, 4, unit)
            self._sheet.write_string(self._row, 5, quality)
            self._row += 1
        return b""

    def end(self) -> Iterator[bytes]:
        """See Writer."""
        with self._file:
            self._book.close()
            self._file.seek(0)
            yield from iter(lambda: self._file.read(1 << 16), b"")


class ArrowWriter:
    """Parquet or an Arrow stream, a row group or record batch a block.

    Args:
        channels: by number.
        parquet: Parquet, else an Arrow IPC stream.
    """

    def __init__(self, channels: Mapping[int, Meaning], *, parquet: bool) -> None:
        import pyarrow as pa  # noqa: PLC0415 - in the extra `headend`, not in the base install
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        self._pa: Any = pa
        text = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [
                ("meter", pa.string()),
                ("channel", text),
                ("time", pa.timestamp("us", tz="UTC")),
                ("value", pa.int64()),
                ("scaler", pa.int8()),
                ("unit", text),
                ("quality", text),
            ]
        )
        self._sink = io.BytesIO()
        self._names = _Dictionary(pa, {n: c.name for n, c in channels.items()})
        self._units = _Dictionary(pa, {n: c.unit for n, c in channels.items()})
        self._quality = _Dictionary(pa, dict(enumerate(_QUALITY)))
        self._scalers = _table({n: c.scaler for n, c in channels.items()}, np.int8)
        self._writer = (
            pq.ParquetWriter(self._sink, self._schema, compression="zstd")
            if parquet
            else pa.ipc.new_stream(self._sink, self._schema)
        )

    def write(self, meters: Mapping[int, str], columns: Columns) -> bytes:
        """See Writer."""
        pa = self._pa
        arrays = [
            _Dictionary(pa, meters).of(columns.meter).cast(pa.string()),
            self._names.of(columns.channel),
            pa.array(columns.ts_us + _EPOCH_US, pa.timestamp("us", tz="UTC")),
            pa.array(columns.value),
            pa.array(self._scalers[columns.channel]),
            self._units.of(columns.channel),
            self._quality.of(columns.status),
        ]
        self._writer.write_batch(pa.record_batch(arrays, self._schema))
        return self._taken()

    def end(self) -> Iterator[bytes]:
        """See Writer."""
        self._writer.close()
        yield self._taken()

    def _taken(self) -> bytes:
        octets = self._sink.getvalue()
        # The writer counts its own octets, so the sink may forget what was sent.
        self._sink.seek(0)
        self._sink.truncate()
        return octets


class _Dictionary:
    """Numbers of the store as a dictionary column of texts."""

    def __init__(self, pa: Any, texts: Mapping[int, str]) -> None:
        distinct = sorted(set(texts.values()))
        place = {text: i for i, text in enumerate(distinct)}
        self._pa = pa
        self._texts = pa.array(distinct, pa.string())
        self._place = _table({n: place[text] for n, text in texts.items()}, np.int32)

    def of(self, numbers: Any) -> Any:
        """The column for numbers."""
        return self._pa.DictionaryArray.from_arrays(self._place[numbers], self._texts)


def _table(values: Mapping[int, int], kind: Any) -> Any:
    """An array to look values up in by their number."""
    found = np.zeros(max(values, default=0) + 1, kind)
    found[list(values)] = list(values.values())
    return found
