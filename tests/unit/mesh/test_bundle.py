"""Registration answers that share a frame: who rides along, what it says, what becomes of them."""

import random

import pytest

from ohmesh.mesh import codec
from ohmesh.mesh.bundle import SHARED_MAX_BYTES, share
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import LinkAnswer, LinkSend
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.engine import Engine
from ohmesh.mesh.forwarding import Job, JobKind
from ohmesh.mesh.frames import DownHead, Hack, HackStatus, RegAck, RegAcks, Tag, TagFlag
from ohmesh.mesh.store import Store

ROOT, HERE, ELSEWHERE, LEAF = 1, 5, 6, 20
TAG = Tag(ROOT, 5, 0, 256, 1, TagFlag.GROUNDED, 0)


def answer(dseq, *path, origin=ROOT, age_s=0, hop_limit=60, index=0):
    head = DownHead(origin, dseq, hop_limit, age_s, index, path)
    return RegAck(head, 100 + dseq, 7, 0, 7200, 3, 0, 1000 + dseq)


@pytest.fixture
def engine():
    """A relay, node HERE, that has just started."""
    config = StationConfig(node=HERE, net=1, is_root=False, epoch=0)
    return Engine(config, random.Random(1), counter=Counter(0), store=Store(9, 1), life=7)


def queue(forwarder, frame, ends, *, dst=None):
    job = Job(JobKind.DOWN, frame, 0, dst=dst or frame.head.path[0], came_from=ROOT)
    job.done = lambda _now_ms, ok: ends.append((frame.head.dseq, ok))
    assert forwarder.accept_down(job) is HackStatus.OK


def send(engine, now_ms=0):
    engine.core.effects.clear()
    engine.forwarder.pump(now_ms)
    (sent,) = (effect for effect in engine.core.effects if isinstance(effect, LinkSend))
    return sent


def test_what_goes_to_the_same_neighbour_rides_along(engine):
    ends = []
    for dseq, far in ((1, HERE), (2, ELSEWHERE), (3, HERE)):
        queue(engine.forwarder, answer(dseq, 4, far, 40 + dseq), ends, dst=far)
    sent = send(engine)
    assert sent.dst == HERE
    assert [part.head.dseq for part in sent.frame.parts] == [1, 3]
    engine.forwarder.exchange_done(0, 1, Hack(0, HackStatus.OK, TAG))
    assert ends == [(1, True), (3, True)]
    assert send(engine).frame.head.dseq == 2  # alone, and as ever


def test_a_shared_frame_has_its_size_and_no_answer_is_left_behind(engine):
    ends = []
    for dseq in range(12):
        queue(engine.forwarder, answer(dseq, 4, HERE, 30, 40 + dseq), ends, dst=HERE)
    while len(engine.forwarder):
        _, body = codec.encode(send(engine).frame)
        assert len(body) <= SHARED_MAX_BYTES
        engine.forwarder.exchange_done(0, 1, Hack(0, HackStatus.OK, TAG))
    assert sorted(ends) == [(dseq, True) for dseq in range(12)]


def test_nobody_answers_and_all_have_failed(engine):
    ends = []
    for dseq in (1, 2):
        queue(engine.forwarder, answer(dseq, 4, HERE, 40 + dseq), ends, dst=HERE)
    send(engine)
    engine.forwarder.exchange_done(0, 8, None)
    assert ends == [(1, False), (2, False)]


def test_who_has_no_room_is_asked_again_with_all_of_them(engine):
    ends = []
    for dseq in (1, 2):
        queue(engine.forwarder, answer(dseq, 4, HERE, 40 + dseq), ends, dst=HERE)
    send(engine)
    engine.forwarder.exchange_done(0, 1, Hack(0, HackStatus.BUSY, TAG))
    assert ends == []
    assert len(engine.forwarder) == 2


def test_answers_of_two_roots_never_share(engine):
    ends = []
    queue(engine.forwarder, answer(1, 4, HERE, 41), ends, dst=HERE)
    queue(engine.forwarder, answer(2, 4, HERE, 42, origin=99), ends, dst=HERE)
    assert isinstance(send(engine).frame, RegAck)


def test_it_ages_like_the_oldest_and_survives_its_octets():
    shared = share(
        [
            answer(1, 4, HERE, 41, age_s=9, index=1),
            answer(2, 4, HERE, 42, age_s=3, hop_limit=50, index=1),
        ]
    )
    assert {(part.head.age_s, part.head.hop_limit) for part in shared.parts} == {(9, 50)}
    assert [part.head.path for part in shared.parts] == [(HERE, 41), (HERE, 42)]
    assert codec.decode(*codec.encode(shared)) == shared


def heard(engine, frame):
    engine.core.effects.clear()
    engine.receive(0, ROOT, frame, rssi_dbm=-80, lseq=9)
    (status,) = (e.status for e in engine.core.effects if isinstance(e, LinkAnswer))
    return status


def test_the_receiver_sends_each_on_its_way_or_takes_none(engine):
    pair = RegAcks((answer(1, HERE, LEAF), answer(2, HERE, LEAF + 1)))
    taken = 0
    while heard(engine, pair) is HackStatus.OK:
        taken += 2
        assert len(engine.forwarder) == taken
    assert len(engine.forwarder) == taken == 16  # the whole relay queue, and not one more
