"""A meter's registration and its frames that come back, in literal milliseconds."""

import random

import pytest

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import Core, LinkSend, Phase
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.forwarding import Forwarder
from ohmesh.mesh.frames import DownHead, Hack, HackStatus, Reg, RegAck, Tag, TagFlag
from ohmesh.mesh.store import Store
from ohmesh.mesh.timers import Timer
from ohmesh.mesh.uplink import Uplink

ROOT, OLD, NEW, LIFE = 1, 2, 3, 77


@pytest.fixture
def core():
    config = StationConfig(node=9, net=1, is_root=False, epoch=0)
    core = Core(config, random.Random(1), Counter(0))
    core.phase, core.root, core.parents = Phase.ATTACHED, ROOT, (OLD,)
    for node in (OLD, NEW):
        row = core.neighbours.admit(node, 0, -80, 256)
        row.learn(0, Tag(ROOT, 5, 0, 256, 1, TagFlag.GROUNDED, 0))
        row.succeed(0, 1)
    return core


@pytest.fixture
def forwarder(core):
    return Forwarder(core)


@pytest.fixture
def uplink(core, forwarder):
    return Uplink(core, forwarder, Store(100, 1), LIFE)


def sent(core, forwarder, now_ms):
    """The frame that goes out next; its first hop takes it."""
    forwarder.pump(now_ms)
    sends = [effect for effect in core.effects if isinstance(effect, LinkSend)]
    core.effects.clear()
    row = core.neighbours.get(sends[-1].dst)
    forwarder.exchange_done(now_ms, 1, Hack(0, HackStatus.OK, row.tag))
    return sends[-1].frame


def answer_to(reg):
    head = DownHead(ROOT, 1, c.HOP_LIMIT, 0, 0, (OLD, 9))
    return RegAck(head, reg.head.fseq, LIFE, 0, c.REG_LIFETIME_S, 0, 0, 0)


def registered(core, forwarder, uplink, now_ms=0):
    uplink.register_within(now_ms, 1_000)
    uplink.register_due(now_ms + 1_000)
    frame = sent(core, forwarder, now_ms + 1_000)
    assert isinstance(frame, Reg)
    return frame


def test_an_answered_registration_rests_until_its_refresh(core, forwarder, uplink):
    uplink.acknowledged(2_000, answer_to(registered(core, forwarder, uplink)))
    assert uplink.is_known
    assert not uplink.is_pending(2_000)
    assert core.timers.due_ms[Timer.REGISTER] > 2_000 + c.REG_LIFETIME_S * 800


def test_a_parent_that_changed_while_the_answer_was_on_its_way_is_told(core, forwarder, uplink):
    reg = registered(core, forwarder, uplink)
    core.parents = (NEW, OLD)
    assert uplink.is_pending(1_500)
    uplink.acknowledged(2_000, answer_to(reg))
    assert uplink.joined
    assert not uplink.is_known
    assert core.timers.due_ms[Timer.REGISTER] <= 3_000
    uplink.register_due(3_000)
    assert sent(core, forwarder, 3_000).parents[0][0] == NEW


def test_payloads_of_a_frame_that_came_back_are_sent_anew(core, forwarder, uplink):
    uplink.submit(0, b"reading", 0)
    uplink.pump(0)
    frame = sent(core, forwarder, 0)
    assert not uplink.store.has_ready
    uplink.returned(frame)
    assert uplink.store.has_ready
    uplink.pump(1_000)
    again = sent(core, forwarder, 1_000)
    assert [record.oseq for record in again.records] == [record.oseq for record in frame.records]
    assert again.head.fseq != frame.head.fseq
