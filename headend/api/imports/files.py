"""A file as rows of texts and values, a few thousand at a time, each with its line.

CSV by RFC 4180 in UTF-8, with a comma, semicolon or tab, which the heading tells; Parquet with
columns of the same names. What a file may not be is refused as a whole before its first row: no
text, no heading, a column that nobody knows, a Parquet file that would unpack to too much.
"""

from __future__ import annotations

import codecs
import csv
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from headend.api.export.formats import need_columns
from headend.api.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROWS_A_CHUNK: Final = 5_000
ROWS_MAX: Final = 5_000_000
UNPACKED_BYTES_MAX: Final = 1 << 30
_HEADING_BYTES_MAX: Final = 4096
_PART_BYTES: Final = 1 << 20
_DELIMITERS: Final = ",;\t"


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its line in the file (from 1), its fields that are not empty, and what is wrong."""

    number: int
    fields: dict[str, Any]
    fault: str = ""


Chunks: TypeAlias = "Iterator[list[Line]]"


def csv_chunks(file: BinaryIO, columns: Sequence[str], needed: Sequence[str]) -> Chunks:
    """The rows of a CSV file.

    Args:
        file: from its beginning.
        columns: names that the heading may have; others refuse the file.
        needed: names that it must have.

    Raises: Problem(invalid).
    """
    _check_text(file)
    heading = file.readline(_HEADING_BYTES_MAX).decode("utf-8-sig", "replace")
    delimiter = max(_DELIMITERS, key=heading.count)
    names = next(csv.reader([heading], delimiter=delimiter), [])
    names = [name.strip().lower() for name in names]
    _check_heading(names, columns, needed)
    text = (octets.decode("utf-8", "replace") for octets in iter(lambda: _line(file), b""))
    return _csv_lines(csv.reader(text, delimiter=delimiter, strict=True), names)


def _line(file: BinaryIO) -> bytes:
    return file.readline(_PART_BYTES)  # what is longer is no line, and must not fill the memory


def _check_text(file: BinaryIO) -> None:
    decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
    while part := file.read(_PART_BYTES):
        try:
            decoder.decode(part, final=len(part) < _PART_BYTES)
        except UnicodeDecodeError as error:
            raise invalid("/body", f"no UTF-8 text near octet {at + error.start}") from None
        at += len(part)
    file.seek(0)


def _check_heading(names: Sequence[str], columns: Sequence[str], needed: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise invalid("/body", f"no column {name[:40]!r}{hint} Known: {', '.join(columns)}")
    if len(set(names)) < len(names):
        raise invalid("/body", "a column stands twice in the heading")
    if missing := [name for name in needed if name not in names]:
        raise invalid("/body", f"the heading lacks {', '.join(missing)}")


def _csv_lines(rows: Any, names: Sequence[str]) -> Chunks:
    chunk: list[Line] = []
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            chunk.append(Line(rows.line_num + 1, {}, f"no CSV: {error}"))
            continue
        if row:
            chunk.append(_csv_line(rows.line_num + 1, row, names))
        if len(chunk) >= ROWS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _csv_line(number: int, row: list[str], names: Sequence[str]) -> Line:
    if len(row) != len(names):
        return Line(number, {}, f"{len(row)} fields, the heading has {len(names)}")
    return Line(number, {name: text for name, text in zip(names, row, strict=True) if text})


def parquet_chunks(file: BinaryIO, columns: Sequence[str], needed: Sequence[str]) -> Chunks:
    """The rows of a Parquet file; its line is the row's number.

    Raises:
        Problem: invalid; refused when Parquet is not installed.
    """
    need_columns()
    import pyarrow as pa  # noqa: PLC0415 - in the extra `headend`, not in the base install
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.ParquetFile(file, thrift_string_size_limit=1 << 24)
    except (pa.ArrowException, OSError) as error:
        raise invalid("/body", "this is no Parquet file") from error
    _check_heading(table.schema_arrow.names, columns, needed)
    if table.metadata.num_rows > ROWS_MAX:
        raise invalid("/body", f"a file may have {ROWS_MAX} rows at most")
    groups = range(table.metadata.num_row_groups)
    if sum(table.metadata.row_group(i).total_byte_size for i in groups) > UNPACKED_BYTES_MAX:
        raise invalid("/body", "unpacked the file is above 1 GiB; send several")
    return _parquet_lines(table, pa.ArrowException)


def _parquet_lines(table: Any, broken: type[Exception]) -> Chunks:
    number = 0
    batches = table.iter_batches(batch_size=ROWS_A_CHUNK)
    while True:
        try:
            rows = next(batches).to_pylist()
        except StopIteration:
            return
        except (broken, OSError, ValueError):
            yield [Line(number + 1, {}, "the file is broken from here on")]
            return
        yield [
            Line(number + i + 1, {name: v for name, v in row.items() if v is not None})
            for i, row in enumerate(rows)
        ]
        number += len(rows)
