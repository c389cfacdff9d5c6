"""The COPY stream: sorted by key, each key once, the first value kept."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from headend.ingest.rows import HEADER, TRAILER, Columns, Readings

_row = st.tuples(
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 63),
)
_FORMAT = struct.Struct(">hiiiiiqiqii")


def parse(stream):
    assert stream.startswith(HEADER)
    assert stream.endswith(TRAILER)
    body = stream[len(HEADER) : -len(TRAILER)]
    rows = []
    for fields, *rest in _FORMAT.iter_unpack(body):
        assert fields == 5
        assert rest[0::2] == [4, 4, 8, 8, 4]
        rows.append(tuple(rest[1::2]))
    return rows


@given(st.lists(_row, min_size=1, max_size=50))
def test_a_stream_holds_each_key_once_in_order(rows):
    first = {}
    for row in rows:
        first.setdefault(row[:3], row)
    readings = Readings([Columns(range(len(rows)), *zip(*rows, strict=True))])
    assert parse(readings.stream()) == sorted(first.values(), key=lambda row: row[:3])
    assert len(readings) == len(first)
    assert readings.given == len(rows)


@given(st.lists(_row, min_size=2, max_size=20), st.data())
def test_parts_count_by_their_place_and_not_by_their_order(rows, data):
    cut = data.draw(st.integers(1, len(rows) - 1))
    places = range(len(rows))
    whole = Readings([Columns(places, *zip(*rows, strict=True))])
    parts = [
        Columns(places[p], *zip(*rows[p], strict=True)) for p in (slice(cut, None), slice(cut))
    ]
    assert Readings(parts).stream() == whole.stream()
