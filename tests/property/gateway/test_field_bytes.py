"""Whatever arrives on a line, in whatever pieces: telegrams, or nothing; never another error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from gateway.drivers import dlms, mbus, modbus, optical
from gateway.drivers.framing import BYTES_MAX, readout_length
from gateway.drivers.listen import SPLITTERS
from gateway.drivers.schedule import Schedule
from ohmesh.model.errors import DriverTransient

TEXT_MARKS = (b"/", b"!", b"\r\n", b"(", b"\x02", b"\x03")
SML_MARKS = (b"\x1b" * 4, b"\x01" * 4, b"\x1b\x1b\x1b\x1b\x1a\x00")
FRAME_MARKS = (b"\x7e", b"\xa0\x10", b"\xa8\x08", b"\x68\x05\x05\x68", b"\x16", b"\xdb\x08")
MARKS = TEXT_MARKS + SML_MARKS + FRAME_MARKS
noise = st.lists(st.sampled_from(MARKS) | st.binary(max_size=12), max_size=60).map(b"".join)


@pytest.mark.parametrize("name", SPLITTERS)
@given(stream=noise, size=st.integers(1, 40))
@settings(max_examples=150)
def test_any_bytes_in_any_pieces_give_the_same_telegrams(name, stream, size):
    whole, pieces = SPLITTERS[name](), SPLITTERS[name]()
    found = [t for at in range(0, len(stream), size) for t in pieces.feed(stream[at : at + size])]
    assert found == whole.feed(stream)
    assert all(0 < len(telegram) <= BYTES_MAX for telegram in found)
    assert sum(map(len, found)) <= 2 * len(stream), "two HDLC frames may share a flag"


@given(heard=noise, count=st.integers(1, 125))
@settings(max_examples=300)
def test_any_answer(heard, count):
    request = ReadHoldingRegistersRequest(address=0, count=count, dev_id=1, transaction_id=1)
    lengths = [
        lambda: modbus.answer_length(FramerRTU(DecodePDU(is_server=False)), request, heard),
        lambda: modbus.answer_length(FramerSocket(DecodePDU(is_server=False)), request, heard),
        lambda: mbus.ack_length(heard),
        lambda: mbus.frame_length(heard),
        lambda: optical.identification_length(heard),
        lambda: readout_length(heard),
        lambda: dlms.frame_length(heard),
        lambda: dlms.wrapper_length(heard),
    ]
    for length in lengths:
        with contextlib.suppress(DriverTransient):
            assert length() is None or 0 < length() <= len(heard)


@given(
    count=st.integers(1, 6),
    turns=st.lists(st.tuples(st.booleans(), st.integers(0, 30_000)), min_size=20, max_size=120),
)
@settings(max_examples=200)
def test_nobody_is_forgotten(count, turns):
    """Whatever fails and however long it takes: who is due is asked, and who waits is due soon."""
    schedule, now_ms = Schedule(count, 1_000, 0), 0
    for answered, cost_ms in turns:
        index = schedule.next(now_ms)
        if index is None:
            assert now_ms < schedule.next_due_ms() <= now_ms + 20 * 60_000
            now_ms = schedule.next_due_ms()
            index = schedule.next(now_ms)
        assert index is not None
        now_ms += cost_ms
        (schedule.answered if answered else schedule.failed)(index, now_ms)
