"""How soon a meter tells a gateway of itself, and how soon the gateway answers."""

import random

import pytest

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import LinkSend, Phase
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.engine import Engine
from ohmesh.mesh.frames import Adv, Hack, HackStatus, Reg, Tag, TagFlag, UpHead
from ohmesh.mesh.store import Store
from ohmesh.mesh.timers import Timer

ROOT, OTHER_ROOT, PARENT, NODE, RELAY, LEAF = 1, 2, 5, 9, 20, 21
THOUSAND = 10
SEEDS = range(20)


def engine_of(node, seed=1, *, is_root=False):
    config = StationConfig(node=node, net=1, is_root=is_root, epoch=1000 if is_root else 0)
    return Engine(config, random.Random(seed), counter=Counter(0), store=Store(9, 1), life=7)


def adv_of(root):
    tag = Tag(root, 5, 0, 256, 1, TagFlag.GROUNDED | TagFlag.ACCEPTS, 0)
    return Adv(tag, 3, THOUSAND, 0, 0)


def due_after_the_parent_went_over(seed, phase):
    """When a meter registers that was registered by way of a parent that changes its gateway."""
    engine = engine_of(NODE, seed)
    core = engine.core
    row = core.neighbours.admit(PARENT, 0, -80, 256)
    row.learn(0, adv_of(ROOT).tag)
    row.succeed(0, 1)
    core.feasibility.adopt(ROOT, (5, 0))
    core.phase, core.root, core.rank = phase, ROOT, 400
    core.parents = (PARENT,) if phase is Phase.ATTACHED else ()
    engine.uplink.registered_root = ROOT
    engine.receive(1_000, PARENT, adv_of(OTHER_ROOT), rssi_dbm=-80, lseq=None)
    assert core.root == OTHER_ROOT
    return core.timers.due_ms[Timer.REGISTER] - 1_000


def test_who_only_changes_its_gateway_says_so_within_seconds():
    dues_ms = [due_after_the_parent_went_over(seed, Phase.ATTACHED) for seed in SEEDS]
    assert all(0 < due_ms <= c.REG_MOVED_MS for due_ms in dues_ms)


def test_who_had_lost_its_way_waits_with_all_the_others():
    dues_ms = [due_after_the_parent_went_over(seed, Phase.POISONED) for seed in SEEDS]
    whole_ms = c.REG_JITTER_PER_NODE_MS << THOUSAND
    assert all(0 < due_ms <= whole_ms for due_ms in dues_ms)
    assert sum(dues_ms) > len(dues_ms) * whole_ms // 4


@pytest.fixture
def root():
    engine = engine_of(ROOT, is_root=True)
    engine.start(0)
    return engine


def sends(engine):
    found = [effect for effect in engine.core.effects if isinstance(effect, LinkSend)]
    engine.core.effects.clear()
    return found


def test_an_answer_that_found_no_way_is_tried_again_when_the_ban_is_over(root):
    head = UpHead(LEAF, 50, ROOT, 384, 60, 0, 0)
    relay = Reg(UpHead(RELAY, 40, ROOT, 256, 60, 0, 0), 7, 7200, 1, ((ROOT, 128),))
    root.receive(0, RELAY, relay, rssi_dbm=-80, lseq=1)
    root.exchange_done(0, 1, Hack(0, HackStatus.OK, adv_of(ROOT).tag))
    sends(root)
    root.receive(0, RELAY, Reg(head, 7, 7200, 1, ((RELAY, 128),)), rssi_dbm=-80, lseq=2)
    assert len(sends(root)) == 1
    root.exchange_done(2_000, c.ARQ_ATTEMPTS, None)
    assert root.root_side.sizes()["owed"] == 1
    over_ms = 2_000 + c.DENY_MIN_MS
    while (now_ms := root.next_wake_ms) < over_ms:
        root.wake(now_ms)
        assert sends(root) == []
    root.wake(over_ms + c.OWED_AGAIN_MS)
    (send,) = sends(root)
    assert send.frame.head.path == (RELAY, LEAF)
