"""Header, seal, replay window."""

import pytest

from ohmesh.mesh import KeyedSealer, MeshUsageError, StationConfig
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.errors import FrameError, RejectReason
from ohmesh.mesh.frames import HackStatus, Join, JoinStage, Probe
from ohmesh.mesh.link import Arrival, Link
from ohmesh.mesh.replay import Freshness, ReplayWindow
from ohmesh.mesh.sealing import ChecksumSealer

KEY = bytes(range(16))


def link(node, *, net=5, sealer=None, ceiling=0):
    config = StationConfig(node=node, net=net, is_root=False, epoch=0)
    return Link(config, Counter(ceiling), sealer or ChecksumSealer())


def reason(receiver, data):
    with pytest.raises(FrameError) as caught:
        receiver.unwrap(data)
    return caught.value.reason


def test_golden_header():
    data, lseq = link(0x65, ceiling=0x0001FFFF).wrap(1, Probe())
    assert data[:17].hex(" ") == "1a 00 00 05 00 00 00 65 00 00 00 01 00 00 02 00 00"
    assert (len(data), lseq) == (25, 0)


def test_a_frame_arrives_once_and_its_repetition_is_known():
    sender, receiver = link(1), link(2)
    data, lseq = sender.wrap(2, Probe())
    heard = receiver.unwrap(data)
    assert (heard.src, heard.arrival, heard.frame, heard.lseq) == (1, Arrival.FRESH, Probe(), lseq)
    again = receiver.unwrap(data)
    assert (again.arrival, again.frame) == (Arrival.REPEATED, None)
    assert receiver.answer_again(0, 1, lseq) is None  # the answer is still owed
    receiver.answered(100, 1, lseq, HackStatus.OK)
    assert receiver.answer_again(200, 1, lseq) is HackStatus.DUP
    assert receiver.answer_again(100 + 20_001, 1, lseq) is None
    receiver.answered(100, 1, lseq, HackStatus.BUSY)
    assert receiver.answer_again(200, 1, lseq) is HackStatus.BUSY


def test_not_for_us_is_not_an_error():
    assert link(3).unwrap(link(1).wrap(2, Probe())[0]) is None


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        (0, 0x2A, RejectReason.VERSION),
        (0, 0x1F, RejectReason.SEAL),
        (1, 0x01, RejectReason.VERSION),
        (3, 0x06, RejectReason.NETWORK),
        (7, 0x09, RejectReason.SEAL),
        (16, 0x77, RejectReason.SEAL),
        (-1, 0x00, RejectReason.SEAL),
    ],
)
def test_every_damage_is_named(at, value, expected):
    data = bytearray(link(1).wrap(2, Probe())[0])
    assert data[at] != value
    data[at] = value
    assert reason(link(2), bytes(data)) is expected


def test_impossible_sources_and_lengths():
    assert reason(link(2), b"") is RejectReason.LENGTH
    assert reason(link(2), bytes(24)) is RejectReason.LENGTH
    assert reason(link(2), bytes(256)) is RejectReason.LENGTH
    assert reason(link(2), link(2).wrap(2, Probe())[0]) is RejectReason.SOURCE


def test_keyed_seal():
    one = link(1, sealer=KeyedSealer({3: KEY}))
    data, _ = one.wrap(2, Probe())
    assert link(2, sealer=KeyedSealer({3: KEY, 4: bytes(16)})).unwrap(data).frame == Probe()
    assert reason(link(2, sealer=KeyedSealer({3: bytes(16)})), data) is RejectReason.SEAL
    assert reason(link(2, sealer=KeyedSealer({4: KEY})), data) is RejectReason.SEAL
    assert reason(link(2), data) is RejectReason.KEY
    assert reason(link(2, sealer=KeyedSealer({})), data) is RejectReason.KEY
    with pytest.raises(MeshUsageError):
        KeyedSealer({0: b"short"})
    with pytest.raises(MeshUsageError):
        link(1, sealer=KeyedSealer({3: KEY}, 4)).wrap(2, Probe())


def test_a_meter_follows_to_the_newer_key_and_a_root_leads():
    old, new = {3: KEY}, {3: KEY, 4: bytes(16)}
    root, meter = KeyedSealer(new, 3), KeyedSealer(new)
    assert (meter.index, meter.newest) == (3, 4)
    before, _ = link(1, sealer=root).wrap(2, Probe())
    link(2, sealer=meter).unwrap(before)
    assert meter.index == 3
    after, _ = link(1, sealer=KeyedSealer(new, 4)).wrap(2, Probe())
    link(2, sealer=meter).unwrap(after)
    assert meter.index == 4
    link(2, sealer=root).unwrap(link(3, sealer=meter).wrap(2, Probe())[0])
    assert root.index == 3, "a root follows nobody"
    meter.install({4: bytes(16)})
    assert reason(link(2, sealer=meter), link(1, sealer=KeyedSealer(old)).wrap(2, Probe())[0])


def test_a_join_frame_needs_no_key_and_leaves_no_trace():
    stranger, member = link(1, sealer=KeyedSealer({})), link(2, sealer=KeyedSealer({3: KEY}))
    octets, _ = stranger.wrap(0xFFFFFFFF, Join(JoinStage.REQUEST, 1, b"please"))
    assert member.unwrap(octets).frame.blob == b"please"
    assert member.unwrap(octets).frame is not None
    assert member.peers == 0
    damaged = octets[:20] + b"!" + octets[21:]
    assert reason(member, damaged) is RejectReason.SEAL


def test_replay_window():
    window = ReplayWindow(100)
    verdicts = [window.judge(n) for n in (101, 100, 99, 103, 102, 103, 164, 100, 101, 300, 236)]
    assert [v.name for v in verdicts] == [
        "NEW", "SEEN", "NEW", "NEW", "NEW", "SEEN", "NEW", "STALE", "SEEN", "NEW", "STALE",
    ]  # fmt: skip
    assert window.judge(237) is Freshness.NEW


def test_old_counter_is_stale():
    sender, receiver = link(1), link(2)
    first, _ = sender.wrap(2, Probe())
    for _ in range(80):
        receiver.unwrap(sender.wrap(2, Probe())[0])
    assert receiver.unwrap(first).arrival is Arrival.STALE


def test_peers_are_bounded():
    receiver = link(2)
    for node in range(3, 300):
        receiver.unwrap(link(node).wrap(2, Probe())[0])
    assert receiver.peers == 160


def test_counter_never_repeats_over_reboots():
    used = set()
    ceiling = 0
    for _ in range(4):
        counter = Counter(ceiling)
        for _ in range(5000):
            number = counter.draw()
            assert number not in used
            assert number <= counter.ceiling
            used.add(number)
        ceiling = counter.ceiling


def test_counter_jumps_ahead_only():
    counter = Counter(0)
    counter.jump(10_000)
    assert counter.draw() == 10_001
    counter.jump(5)
    assert counter.draw() == 10_002
    assert counter.ceiling > 10_002
