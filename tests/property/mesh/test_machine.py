"""Any interleaving of loss, delay, reorder, cuts, reboots and an attacker, on eight nodes.

Hypothesis chooses the steps and shrinks what fails. After each step: switches of tier 1 alone have
closed no loop, every table and queue is bounded, no payload was delivered that its meter did not
hand in, and nothing the attacker sent was taken.
"""

import random
import string
from contextlib import contextmanager
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ohmesh.mesh import StationConfig
from ohmesh.mesh import constants as c
from ohmesh.mesh.engine import Engine
from ohmesh.mesh.testing import World

ROOTS = (1, 2)
METERS = (11, 12, 13, 14, 15, 16)
NODES = ROOTS + METERS
PAIRS = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(lambda p: p[0] < p[1])
HEARD_MAX = 400
LIMITS = {
    "children": c.ROOT_CHILDREN_MAX,
    "peers": c.ROOT_LINK_PEERS_MAX,
    "duplicates": c.ROOT_DUPLICATES_MAX,
    "queue": c.ROOT_QUEUE_MAX + c.RELAY_QUEUE_MAX,
    "roots": c.ROOTS_MAX,
    "store": 40,
    "routes": len(METERS),
    "custody": c.CUSTODY_MAX,
    "commands": c.COMMANDS_MAX,
    "owed": len(METERS),
}


@contextmanager
def engine_inputs():
    """The frames that pass the replay windows and reach an engine meanwhile."""
    inputs, receive = [], Engine.receive

    def counted(engine, now_ms, src, frame, **named):
        inputs.append(frame)
        receive(engine, now_ms, src, frame, **named)

    with patch.object(Engine, "receive", counted):
        yield inputs


class MeshMachine(RuleBasedStateMachine):
    """Two roots, six meters, one attacker without a key who hears everything."""

    @initialize(seed=st.integers(0, 99), links=st.lists(PAIRS, min_size=6, max_size=20))
    def build(self, seed, links):
        self.world = World(seed)
        self.rng = random.Random(seed)
        self.sent = set()
        self.heard = []
        self.tokens = 0
        self.forgetful = False
        self.world.delay_spread_ms = 120
        self.world.tap = self._overhear
        for node in NODES:
            root = node in ROOTS
            config = StationConfig(
                node=node, net=1, is_root=root, epoch=9 * root, timer_divisor=20, store_limit=40
            )
            self.world.add(config)
        for one, other in links:
            self.world.link(one, other)
        self.world.boot_all(500)
        self.world.run(4_000)

    def _overhear(self, node, frame):
        if len(self.heard) < HEARD_MAX:
            self.heard.append((node, frame))

    @rule(duration_ms=st.integers(1, 3_000))
    def wait(self, duration_ms):
        self.world.run(self.world.now_ms + duration_ms)

    @rule(pair=PAIRS, up=st.booleans())
    def change_link(self, pair, up):
        (self.world.link if up else self.world.cut)(*pair)

    @rule(percent=st.integers(0, 60), delay_ms=st.integers(0, 500))
    def change_weather(self, percent, delay_ms):
        self.world.loss_percent = percent
        self.world.delay_spread_ms = delay_ms

    @rule(root=st.sampled_from(ROOTS), grounded=st.booleans())
    def change_ground(self, root, grounded):
        self.world.set_grounded(root, grounded=grounded)

    @rule(node=st.sampled_from(METERS), text=st.text(string.ascii_letters, min_size=1, max_size=9))
    def submit(self, node, text):
        self.sent.add((node, text.encode()))
        self.world.submit(node, text.encode())

    @rule(root=st.sampled_from(ROOTS), node=st.sampled_from(METERS))
    def command(self, root, node):
        self.tokens += 1
        self.world.command(root, node, b"open", self.tokens)

    @rule(node=st.sampled_from(NODES), blank=st.booleans())
    def reboot(self, node, blank):
        self.forgetful = True
        self.world.kill(node)
        self.world.boot(node, blank=blank and node in METERS)

    @precondition(lambda self: self.heard)
    @rule(victim=st.sampled_from(NODES), which=st.integers(0, HEARD_MAX))
    def replay(self, victim, which):
        """A frame the victim has had already, word for word."""
        src, frame = self.heard[which % len(self.heard)]
        if src == victim:
            return
        self.world.inject(victim, frame)
        before = self._standing(victim)
        with engine_inputs() as inputs:
            self.world.inject(victim, frame)
        assert inputs == []
        assert self._standing(victim) == before

    @precondition(lambda self: self.heard)
    @rule(
        victim=st.sampled_from(NODES),
        which=st.integers(0, HEARD_MAX),
        at=st.integers(0, 254),
        flip=st.integers(1, 255),
    )
    def forge(self, victim, which, at, flip):
        """A true frame with one octet changed."""
        frame = bytearray(self.heard[which % len(self.heard)][1])
        frame[at % len(frame)] ^= flip
        before, refused = self._standing(victim), sum(self.world.totals.rejected.values())
        self.world.inject(victim, bytes(frame))
        assert self._standing(victim) == before
        ours = bytes(frame[8:12]) in (victim.to_bytes(4, "big"), b"\xff" * 4)
        assert not ours or sum(self.world.totals.rejected.values()) == refused + 1

    def _standing(self, node):
        station = self.world.station(node)
        copies = sum(len(copies) for copies in self.world.delivered.values())
        received = sum(len(payloads) for payloads in self.world.received.values())
        return station.rank, station.parents, station.root, station.backlog, copies, received

    @invariant()
    def no_loop_by_tier_one(self):
        if not self.forgetful and not self.world.totals.traces.get("parent.second_tier"):
            assert self.world.cycle() == []

    @invariant()
    def tables_are_bounded(self):
        for node, station in self.world.stations().items():
            sizes = station.sizes()
            rows_max = c.ROOT_NEIGHBOURS_MAX if node in ROOTS else c.NEIGHBOURS_MAX
            assert sizes.pop("neighbours") <= rows_max
            assert all(size <= LIMITS[name] for name, size in sizes.items()), sizes

    @invariant()
    def only_what_was_sent_arrives(self):
        arrived = {(o, p) for (o, _), copies in self.world.delivered.items() for _, p in copies}
        assert arrived <= self.sent

    @invariant()
    def commands_are_obeyed_once(self):
        if not self.forgetful:
            assert sum(map(len, self.world.received.values())) <= self.tokens


TestMesh = MeshMachine.TestCase
TestMesh.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
