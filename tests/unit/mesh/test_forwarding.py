"""What a relay takes, refuses and tries again, in literal milliseconds."""

import random

import pytest

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import Core, LinkSend, Phase
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.forwarding import Forwarder
from ohmesh.mesh.frames import Hack, HackStatus, Record, Tag, TagFlag, Up, UpHead

ROOT, PARENT, OTHER, CHILD = 1, 2, 3, 8


@pytest.fixture
def core():
    config = StationConfig(node=9, net=1, is_root=False, epoch=0)
    core = Core(config, random.Random(1), Counter(0))
    core.phase, core.root, core.parents = Phase.ATTACHED, ROOT, (PARENT,)
    for node in (PARENT, OTHER):
        row = core.neighbours.admit(node, 0, -80, 256)
        row.learn(0, Tag(ROOT, 5, 0, 256, 1, TagFlag.GROUNDED, 0))
        row.succeed(0, 1)
    return core


@pytest.fixture
def forwarder(core):
    return Forwarder(core)


def frame(fseq, hop_limit=60):
    head = UpHead(70, fseq, ROOT, 600, hop_limit, 0, 0)
    return Up(head, 5, (Record(fseq, 0, b"reading"),))


def exchange(core, forwarder, now_ms, status):
    """Let the next exchange run to that answer. Returns: the frame sent, None if none was."""
    core.effects.clear()
    forwarder.pump(now_ms)
    sends = [effect for effect in core.effects if isinstance(effect, LinkSend)]
    if not sends:
        return None
    tag = core.neighbours.get(sends[0].dst).tag
    forwarder.exchange_done(now_ms, 1, Hack(0, status, tag))
    return sends[0].frame.head.fseq


def test_a_frame_that_comes_back_is_refused_until_the_ways_may_have_changed(core, forwarder):
    assert forwarder.accept_up(0, CHILD, frame(1)) is HackStatus.OK
    assert exchange(core, forwarder, 0, HackStatus.OK) == 1
    soon, later = c.LOOP_MEMORY_MS - 1, c.LOOP_MEMORY_MS
    assert forwarder.accept_up(soon, OTHER, frame(1, hop_limit=50)) is HackStatus.LOOP
    assert forwarder.accept_up(later, OTHER, frame(1, hop_limit=50)) is HackStatus.OK
    assert exchange(core, forwarder, later, HackStatus.OK) == 1
    # A copy is a copy however late it comes.
    assert forwarder.accept_up(3 * later, CHILD, frame(1)) is HackStatus.DUP


def test_a_parent_that_took_one_is_offered_the_next_that_waits(core, forwarder):
    for fseq in (1, 2):
        assert forwarder.accept_up(0, CHILD, frame(fseq)) is HackStatus.OK
    assert exchange(core, forwarder, 0, HackStatus.NOROUTE) == 1
    assert exchange(core, forwarder, 0, HackStatus.NOROUTE) == 2
    assert exchange(core, forwarder, 0, HackStatus.OK) is None  # both wait for seconds
    assert forwarder.accept_up(100, CHILD, frame(3)) is HackStatus.OK
    assert exchange(core, forwarder, 100, HackStatus.OK) == 3
    assert exchange(core, forwarder, 100, HackStatus.OK) == 1
    assert exchange(core, forwarder, 100, HackStatus.OK) == 2
    assert len(forwarder) == 0
