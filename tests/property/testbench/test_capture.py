"""Captures: round trip, any truncation, any byte damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_sim.capture import format as form
from meter_sim.capture import writer as writing
from meter_sim.capture.format import CaptureError
from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.record import Header, Record
from meter_sim.capture.writer import CaptureWriter

RECORDS = st.lists(
    st.builds(
        Record,
        at_us=st.integers(-(2**62), 2**62),
        channel=st.sampled_from(["mqtt a/b", "mqtt c", "serial /dev/x", ""]),
        payload=st.binary(max_size=40),
        flags=st.integers(0, 7),
    ),
    max_size=30,
)
HEADERS = st.builds(Header, seed=st.none() | st.integers(0, 2**60), note=st.text(max_size=20))
SMALL_BLOCK = 7


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    """Several blocks in a small file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "BLOCK_RECORDS", SMALL_BLOCK)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("capture") / "day.ohmcap"


def write(path, header, records):
    with CaptureWriter(path, header) as writer:
        writer.extend(records)
    return path.read_bytes()


def salvaged(path):
    damages = []
    with CaptureReader(path, damaged=True) as reader:
        return list(reader.salvage(damages)), damages


def before_the_error(path):
    got = []
    try:
        with CaptureReader(path) as reader:
            for record in reader.records():
                got.append(record)  # noqa: PERF402 - what came before the error counts
    except CaptureError as error:
        return got, error
    pytest.fail("it was read to its end")


@given(header=HEADERS, records=RECORDS)
def test_what_is_written_is_read(path, header, records):
    write(path, header, records)
    with CaptureReader(path) as reader:
        assert reader.header == header
        assert reader.closed
        assert list(reader.records()) == records
    assert salvaged(path) == (records, [])


@given(
    records=RECORDS, from_us=st.integers(-(2**62), 2**62), span=st.none() | st.integers(0, 2**62)
)
def test_seek_finds_what_a_filter_finds(path, records, from_us, span):
    write(path, Header(), records)
    to_us = None if span is None else from_us + span
    with CaptureReader(path) as reader:
        assert list(reader.seek(from_us, to_us)) == [
            r for r in records if r.at_us >= from_us and (to_us is None or r.at_us < to_us)
        ]


@given(records=RECORDS, cut=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_refused_and_gives_the_whole_blocks_before_it(path, records, cut):
    whole = write(path, Header(), records)
    path.write_bytes(whole[: int(len(whole) * cut)])
    got, error = before_the_error(path)
    assert got == records[: len(got)]
    assert 0 <= error.offset <= len(whole) * cut
    assert salvaged(path)[0] == got
    assert len(got) == len(records) or len(got) % SMALL_BLOCK == 0


@settings(max_examples=300)
@given(records=RECORDS, where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_damaged_byte_is_refused_and_costs_one_block_at_most(path, records, where, flip):
    octets = bytearray(write(path, Header(), records))
    octets[int(len(octets) * where)] ^= flip
    path.write_bytes(octets)
    with pytest.raises(CaptureError), CaptureReader(path) as reader:
        list(reader.records())
    version_hit = bytes(octets[form.VERSION_AT : form.FIRST_CHUNK]) != b"\x01\x00"
    if version_hit:
        return
    kept, _ = salvaged(path)
    assert len(kept) >= len(records) - SMALL_BLOCK
    assert all(record in records for record in kept)


@given(junk=st.binary(max_size=200))
def test_anything_else_is_refused_with_an_offset(path, junk):
    path.write_bytes(junk)
    with pytest.raises(CaptureError) as refused:
        CaptureReader(path)
    assert 0 <= refused.value.offset <= len(junk)


def test_a_future_version_says_so(path):
    octets = bytearray(write(path, Header(), []))
    octets[form.VERSION_AT] = 2
    path.write_bytes(octets)
    for damaged in (False, True):
        with pytest.raises(CaptureError, match="byte 8: version 2; this program reads version 1"):
            CaptureReader(path, damaged=damaged)


def test_a_growing_file_shows_its_whole_blocks(path):
    records = [Record(n, "mqtt t", bytes([n])) for n in range(20)]
    with CaptureWriter(path, Header()) as writer:
        writer.extend(records)
        assert salvaged(path)[0] == records[:14]
        writer.flush()
        kept, _ = salvaged(path)
        assert kept == records
        with CaptureReader(path) as reader:
            assert not reader.closed
            found = reader.seek(5, 8)
            assert [next(found) for _ in range(3)] == records[5:8]
            with pytest.raises(CaptureError, match="ends without an index"):
                next(found)
