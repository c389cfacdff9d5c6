"""HDLC frames."""

import pytest

from firmware_profiles.codecs.hdlc import Frame, messages_of, parse_frames
from ohmesh.model.errors import DecodeError, DecodeErrorKind

UI = 0x13


def frame(information=b"", *, segmented=False):
    return Frame(b"\x41", b"\x08\x83", UI, information, segmented)


@pytest.mark.parametrize("information", [b"", b"\x7e", b"\x7d\x7e" * 50, bytes(2000)])
@pytest.mark.parametrize("segmented", [True, False])
def test_a_frame_comes_back_whole(information, segmented):
    wanted = frame(information, segmented=segmented)
    assert parse_frames(wanted.to_bytes()) == (wanted,)


def test_frames_may_share_a_flag_or_have_two():
    one, two = frame(b"one").to_bytes(), frame(b"two").to_bytes()
    for stream in (one + two, one + two[1:]):
        assert [f.information for f in parse_frames(stream)] == [b"one", b"two"]


def test_segments_are_joined_and_the_llc_header_taken_off():
    frames = (frame(b"\xe6\xe7\x00ab", segmented=True), frame(b"cd"), frame(b"\xe6\xe6\x00e"))
    assert messages_of(frames) == [b"abcd", b"e"]
    with pytest.raises(DecodeError, match="last segment"):
        messages_of(frames[:1])


def test_a_frame_too_long_cannot_be_written():
    with pytest.raises(ValueError, match="2047"):
        frame(bytes(2040)).to_bytes()


GOOD = frame(b"hello").to_bytes()


@pytest.mark.parametrize("position", range(1, len(GOOD) - 1))
def test_every_flipped_byte_is_seen(position):
    bad = bytearray(GOOD)
    bad[position] ^= 0x10
    with pytest.raises(DecodeError):
        parse_frames(bytes(bad))


@pytest.mark.parametrize("length", range(len(GOOD) - 1))
def test_every_cut_is_seen(length):
    with pytest.raises(DecodeError) as caught:
        parse_frames(GOOD[:length])
    assert caught.value.kind in {DecodeErrorKind.TRUNCATED, DecodeErrorKind.MALFORMED}


def test_a_bad_check_is_accepted_only_when_asked():
    bad = bytearray(GOOD)
    bad[-2] ^= 1
    with pytest.raises(DecodeError) as caught:
        parse_frames(bytes(bad))
    assert caught.value.kind is DecodeErrorKind.CHECKSUM
    assert parse_frames(bytes(bad), verify=False) == (frame(b"hello"),)


def test_a_flood_of_frames_is_refused():
    with pytest.raises(DecodeError) as caught:
        parse_frames(frame().to_bytes() * 300)
    assert caught.value.kind is DecodeErrorKind.BUDGET
