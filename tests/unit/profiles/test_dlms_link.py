"""The HDLC data link: both ends against each other, over a line that loses and damages."""

import pytest

from firmware_profiles.codecs.dlms.client import run
from firmware_profiles.codecs.dlms.errors import SequenceError
from firmware_profiles.codecs.dlms.link import DISC, DM, SNRM, ClientLink, ServerLink, address
from firmware_profiles.codecs.hdlc import Frame, parse_frames
from ohmesh.model.errors import DecodeError

CLIENT, METER = address(1), address(1, 17)


class Line:
    def __init__(self, *, size=2030):
        self.closed = 0
        self.heard = []
        self.frames = 0
        self.server = ServerLink(METER, self.answer, self.close, size=size)

    def answer(self, apdu):
        self.heard.append(apdu)
        return apdu[::-1]

    def close(self):
        self.closed += 1

    def __call__(self, frame):
        self.frames += 1
        return self.server.receive(frame)


@pytest.mark.parametrize(
    ("parts", "octets"),
    [((1,), "03"), ((16,), "21"), ((1, 17), "0223"), ((1, 0x91), "00020223"), ((1, 127), "02ff")],
)
def test_addresses(parts, octets):
    assert address(*parts).hex() == octets


@pytest.mark.parametrize("server_size", [32, 128, 2030])
@pytest.mark.parametrize("client_size", [32, 128, 2030])
def test_messages_of_any_length_come_through(client_size, server_size):
    line = Line(size=server_size)
    link = ClientLink(CLIENT, METER, size=client_size)
    run(link.connect(), line)
    for length in (1, 29, 30, 200, 5000):
        message = bytes(range(1, 251)) * 20
        assert run(link.transfer(message[:length]), line) == message[:length][::-1]
    run(link.disconnect(), line)
    assert len(line.heard) == 5
    assert line.closed == 2


def test_nothing_goes_before_the_link_is_open():
    line = Line()
    link = ClientLink(CLIENT, METER)
    with pytest.raises(SequenceError):
        run(link.transfer(b"x"), line)
    information = Frame(METER, CLIENT, 0x10, b"\xe6\xe6\x00x").to_bytes()
    assert parse_frames(line(information))[0].control == DM
    assert parse_frames(line(Frame(METER, CLIENT, DISC).to_bytes()))[0].control == DM
    assert line.heard == []


def test_a_repeated_frame_is_answered_again_and_done_once():
    line = Line()
    link = ClientLink(CLIENT, METER)
    run(link.connect(), line)

    def twice(frame):
        first = line(frame)
        assert line(frame) == first
        return first

    assert run(link.transfer(b"abc"), twice) == b"cba"
    assert line.heard == [b"abc"]


def test_a_lost_segment_is_sent_again():
    line = Line(size=32)
    link = ClientLink(CLIENT, METER, size=32)
    run(link.connect(), line)
    lost = []

    def losing(frame):
        reply = line(frame)
        if len(line.heard) and not lost:
            lost.append(reply)
            return line(frame)
        return reply

    assert run(link.transfer(bytes(range(200))), losing) == bytes(range(200))[::-1]
    assert lost


def test_others_and_damage_are_passed_over():
    line = Line()
    snrm = Frame(METER, CLIENT, SNRM).to_bytes()
    assert line(Frame(address(1, 18), CLIENT, SNRM).to_bytes()) == b""
    assert line(snrm[:-3] + b"\0" + snrm[-2:]) == b""
    assert line(b"\x7e\x7e") == b""
    assert line(snrm)


def test_a_reply_of_another_meter_is_refused():
    link = ClientLink(CLIENT, METER)
    stranger = Frame(CLIENT, address(1, 18), 0x73).to_bytes()
    with pytest.raises(DecodeError):
        run(link.connect(), lambda _: stranger)
    with pytest.raises(DecodeError, match="no UA"):
        run(link.connect(), lambda _: Frame(CLIENT, METER, DM).to_bytes())
