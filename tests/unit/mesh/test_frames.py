"""The bytes of every frame, written out, and what must be refused."""

import contextlib

import pytest

from ohmesh.mesh import codec
from ohmesh.mesh import frames as f
from ohmesh.mesh.errors import FrameError, MeshUsageError, RejectReason

TAG = f.Tag(root=1, epoch=0x68000000, seq=7, rank=300, hops=2, flags=0x33, load=9)
TAG_HEX = "00000001 68000000 0007 012c 02 33 09"
UP = f.UpHead(
    origin=0x65, fseq=0x1234, root=1, rank=300, hop_limit=64, age_s=5, flags=f.UpFlag.RANK_ERROR | 2
)
UP_HEX = "00000065 00001234 00000001 012c 40 0005 06"
NOBODY_HEX = UP_HEX.replace("00000065", "ffffffff")
DOWN = f.DownHead(origin=1, dseq=0xABCD, hop_limit=63, age_s=1, index=1, path=(0x65, 0x66))
DOWN_HEX = "00000001 0000abcd 3f 0001 01 02 00000065 00000066"

GOLDEN = [
    (
        f.Adv(TAG, dtsn=3, size_code=6, key_newest=1, time_s=0x68000010),
        1,
        TAG_HEX + "03 06 01 68000010",
    ),
    (f.Sol(f.SolFlag.SEQ_REQUEST, root=1, epoch=0x68000000, seq=7), 2, "01 00000001 68000000 0007"),
    (
        f.Reg(UP, life=0xBEEF, lifetime_s=7200, floor=12, parents=((0x66, 128), (0x67, 256))),
        3,
        UP_HEX + "beef 1c20 0000000c 00000066 20 00000067 40",
    ),
    (
        f.RegAck(
            DOWN,
            reg_fseq=0x1234,
            life=0xBEEF,
            status=0,
            lifetime_s=7200,
            high_water=11,
            bitmap=5,
            time_s=0x68000010,
        ),
        4,
        DOWN_HEX + "00001234 beef 00 1c20 0000000b 0000000000000005 68000010",
    ),
    (
        f.RegAcks(
            (
                f.RegAck(
                    f.DownHead(1, 5, 64, 2, 0, (0x65,)), 0x1234, 0xBEEF, 0, 7200, 11, 0, 0x68000010
                ),
                f.RegAck(
                    f.DownHead(1, 6, 64, 2, 0, (0x65, 0x67)),
                    0x1235,
                    0xCAFE,
                    0,
                    7200,
                    12,
                    0x102,
                    0x68000010,
                ),
            )
        ),
        14,
        (
            "00000001 00000065 40 0002 68000010"
            "00000005 00001234 beef 00 1c20 0000000b 00 00"
            "00000006 00001235 cafe 00 1c20 0000000c 01 02 00000067 0102"
        ),
    ),
    (
        f.Up(UP, 0xBEEF, (f.Record(12, 3, b"ab"), f.Record(14, 0, b"c"))),
        5,
        UP_HEX + "beef 0000000c 0000 0003 02 6162 0002 0000 01 63",
    ),
    (f.Down(DOWN, b"open"), 6, DOWN_HEX + "6f70656e"),
    (f.Hack(0x1111, f.HackStatus.OK, TAG), 7, "1111 00" + TAG_HEX),
    (f.Hack(0x1111, f.HackStatus.RESYNC, TAG, 0x99), 7, "1111 06" + TAG_HEX + "00000099"),
    (
        f.Report(UP, f.ReportStatus.LINK_FAILED, dseq=0xABCD, near=0x65, far=0x66),
        8,
        UP_HEX + "01 0000abcd 00000065 00000066",
    ),
    (f.Join(1, 0x0102030405060708, b"xyz"), 9, "01 0102030405060708 78797a"),
    (f.Probe(), 10, ""),
    (f.Outage(UP, (0x65, 0x66)), 11, UP_HEX + "00000065 00000066"),
]


@pytest.mark.parametrize(("frame", "kind", "octets"), GOLDEN, ids=lambda v: type(v).__name__)
def test_golden(frame, kind, octets):
    body = bytes.fromhex(octets)
    assert codec.encode(frame) == (kind, body)
    assert codec.decode(kind, body) == frame


@pytest.mark.parametrize(("frame", "kind", "octets"), GOLDEN, ids=lambda v: type(v).__name__)
def test_every_truncation_is_refused_or_is_another_frame(frame, kind, octets):
    body = bytes.fromhex(octets)
    for length in range(len(body)):
        with contextlib.suppress(FrameError):
            assert codec.decode(kind, body[:length]) != frame


@pytest.mark.parametrize(
    ("kind", "octets", "reason"),
    [
        (0, "", RejectReason.TYPE),
        (15, "", RejectReason.TYPE),
        (10, "00", RejectReason.BODY),
        (1, TAG_HEX + "03 06 01 68000010 00", RejectReason.BODY),
        (5, UP_HEX + "beef 0000000c", RejectReason.BODY),  # no record
        (5, UP_HEX + "beef 0000000c 0001 0000 01 61", RejectReason.BODY),  # first delta is not 0
        (
            5,
            UP_HEX + "beef 0000000c 0000 0000 01 61 0000 0000 01 62",
            RejectReason.BODY,
        ),  # not rising
        (
            5,
            UP_HEX + "ffffffff 0000 0000 01 61 0001 0000 01 62",
            RejectReason.BODY,
        ),  # oseq overflow
        (
            5,
            UP_HEX.replace("00000065", "ffffffff") + "beef 0000000c 0000 0000 01 61",
            RejectReason.BODY,
        ),
        (3, UP_HEX + "beef 1c20 0000000c", RejectReason.BODY),  # no parent
        (3, UP_HEX + "beef 0000 0000000c 00000066 20", RejectReason.BODY),  # no lifetime
        (3, UP_HEX + "beef 1c20 00000000 00000066 20", RejectReason.BODY),  # oseq starts at 1
        (3, UP_HEX + "beef 1c20 0000000c" + "00000066 20" * 4, RejectReason.BODY),  # four parents
        (3, UP_HEX + "beef 1c20 0000000c 00000065 20", RejectReason.BODY),  # its own parent
        (3, UP_HEX + "beef 1c20 0000000c 00000066 1f", RejectReason.BODY),  # ETX below one
        (6, "00000001 0000abcd 3f 0001 00 00", RejectReason.BODY),  # empty path
        (6, "00000001 0000abcd 3f 0001 02 02 00000065 00000066", RejectReason.BODY),  # index
        (6, "00000001 0000abcd 3f 0001 00 02 00000065 00000065", RejectReason.BODY),  # node twice
        (6, "00000001 0000abcd 3f 0001 00 02 00000065 00000001", RejectReason.BODY),  # back to root
        (6, "00000001 0000abcd 3f 0001 00 21" + "00000065" * 33, RejectReason.BODY),  # 33 hops
        (7, "1111 07" + TAG_HEX, RejectReason.BODY),
        (7, "1111 00" + TAG_HEX + "00000099", RejectReason.BODY),
        (7, "1111 06" + TAG_HEX, RejectReason.BODY),
        (8, UP_HEX + "02 0000abcd 00000065 00000066", RejectReason.BODY),
        (11, UP_HEX + "00", RejectReason.BODY),
        (11, UP_HEX + "02 00000065", RejectReason.BODY),
        (11, UP_HEX + "00" + "00000065" * 33, RejectReason.BODY),
    ],
)
def test_refused(kind, octets, reason):
    with pytest.raises(FrameError) as caught:
        codec.decode(kind, bytes.fromhex(octets))
    assert caught.value.reason is reason


def test_a_body_beyond_the_mtu_is_the_callers_fault():
    records = tuple(f.Record(i, 0, bytes(160)) for i in range(2))
    with pytest.raises(MeshUsageError):
        codec.encode(f.Up(UP, 0, records))


def test_the_largest_payload_fits_up_and_13_hops_down():
    assert codec.encode(f.Up(UP, 0, (f.Record(1, 0, bytes(160)),)))
    head = f.DownHead(origin=1, dseq=1, hop_limit=64, age_s=0, index=0, path=tuple(range(2, 15)))
    assert codec.encode(f.Down(head, bytes(160)))
