"""Nobody is heard without the network's key, and everybody who may join gets it."""

from __future__ import annotations

import random

import pytest

from ohmesh.mesh import KeyedSealer, StationConfig
from ohmesh.mesh.testing import World
from ohmesh.wire.joining import Doorkeeper, JoinCipher, MeterApplicant, join_key

ROOT, LINE = 1, (101, 102, 103, 104)
NET = 7
OLD, NEW = {3: bytes(range(16))}, {3: bytes(range(16)), 4: bytes(range(16, 32))}
MINUTE_MS = 60_000


def meter_key(node: int) -> bytes:
    return node.to_bytes(16, "big")


class Network:
    """A line of meters behind a root that knows some of them."""

    def __init__(self, known=LINE, **options) -> None:
        self.live, self.index = OLD, 3
        self.strangers: set[int] = set()
        self.coin = random.Random(7)
        self.known = {node: join_key(meter_key(node)) for node in known}
        self.asked: list[tuple[int, bytes]] = []
        self.answered: list[bytes] = []
        self.world = World(3, **options)
        self.world.guard = self
        for node in (ROOT, *LINE):
            config = StationConfig(
                node=node,
                net=NET,
                is_root=node == ROOT,
                epoch=1_700_000_000 if node == ROOT else 0,
                timer_divisor=20,
            )
            self.world.add(config)
        for one, other in zip((ROOT, *LINE), LINE, strict=False):
            self.world.link(one, other)

    # --- Guard ---

    def sealer(self, node, keys):
        return KeyedSealer(self.live, self.index) if node == ROOT else KeyedSealer(keys)

    def applicant(self, node):
        if node == ROOT:
            return None
        key = bytes(16) if node in self.strangers else meter_key(node)
        return MeterApplicant(JoinCipher(join_key(key), net=NET, node=node), self.coin.randbytes)

    def answer(self, eui64, blob):
        self.asked.append((eui64, blob))
        answer = self.door.answer(eui64, blob)
        if answer is not None:
            self.answered.append(answer)
        return answer

    # --- the story ---

    @property
    def door(self):
        if getattr(self, "_door_of", None) is not self.live:
            self._door, self._door_of = Doorkeeper(NET, self.known, self.live), self.live
        return self._door

    def joined(self):
        return {node for node, one in self.world.stations().items() if one.joined} - {ROOT}

    def run_until(self, condition, minutes=60):
        return self.world.run(self.world.now_ms + minutes * MINUTE_MS, condition)

    def report_all(self):
        """A payload from everybody; how many arrived."""
        before = len(self.world.delivered)
        for node in LINE:
            self.world.submit(node, b"reading %d" % node)
        self.run_until(lambda: len(self.world.delivered) == before + len(LINE), 5)
        return len(self.world.delivered) - before


@pytest.mark.parametrize("loss_percent", [0, 30])
def test_a_line_joins_one_behind_the_other(loss_percent):
    network = Network(loss_percent=loss_percent)
    network.world.boot_all()
    network.world.run(1)
    for node in LINE:
        assert not network.world.station(node).joined
        network.world.submit(node, b"before it has a key")
    assert network.run_until(lambda: network.joined() == set(LINE))
    assert network.report_all() >= len(LINE), "what was submitted before arrives too"
    assert {network.world.nodes[node].disk.keys == OLD for node in LINE} == {True}


def test_who_is_not_known_stays_outside_and_cuts_off_nobody_else():
    network = Network(known=(101, 103, 104))
    network.strangers.add(104)  # claims to be 104, with another key
    network.world.boot_all()
    network.run_until(lambda: False, 10)
    assert network.joined() == {101}, "102 is not known, and 103 stands behind it"
    assert any(eui == 102 for eui, _ in network.asked)
    network.known[102] = join_key(meter_key(102))
    assert network.run_until(lambda: network.joined() >= {101, 102, 103})
    network.run_until(lambda: False, 10)
    assert 104 not in network.joined()
    assert any(eui == 104 for eui, _ in network.asked), "its request came, and was not believed"


def test_keys_are_kept_over_a_reboot():
    network = Network()
    network.world.boot_all()
    assert network.run_until(lambda: network.joined() == set(LINE))
    asked = len(network.asked)
    for node in LINE:
        network.world.kill(node)
    network.world.run(network.world.now_ms + MINUTE_MS)
    for node in LINE:
        network.world.boot(node)
    assert network.run_until(lambda: network.joined() == set(LINE))
    assert len(network.asked) == asked


def test_the_network_changes_its_key_without_a_gap():
    network = Network()
    network.world.boot_all()
    assert network.run_until(lambda: network.joined() == set(LINE))

    def restart(live, index):
        network.live, network.index = live, index
        network.world.kill(ROOT)
        network.world.boot(ROOT)

    restart(NEW, 3)  # everybody is given the new key while the old is still used
    keys = lambda: [network.world.nodes[node].disk.keys for node in LINE]  # noqa: E731
    assert network.run_until(lambda: keys() == [NEW] * len(LINE))
    assert network.run_until(lambda: network.joined() == set(LINE))
    rejected = dict(network.world.totals.rejected)
    restart(NEW, 4)  # the root begins with the new one, and who hears it follows
    assert network.report_all() == len(LINE)
    assert network.world.totals.rejected == rejected
    followed = lambda: {network.world.station(node)._sealer.index for node in LINE}  # noqa: E731
    assert network.run_until(lambda: followed() == {4})
    restart({4: NEW[4]}, 4)  # the old one is over
    assert network.report_all() == len(LINE)


def test_who_slept_through_two_changes_joins_again():
    network = Network()
    network.world.boot_all()
    assert network.run_until(lambda: network.joined() == set(LINE))
    network.world.kill(101)
    network.live, network.index = {9: bytes(16)}, 9
    network.world.kill(ROOT)
    network.world.boot(ROOT)
    network.world.boot(101)
    assert network.run_until(lambda: network.joined() == set(LINE))
    assert network.report_all() == len(LINE)


def test_an_answer_played_again_gives_nothing():
    network = Network()
    heard = []
    network.world.tap = lambda _node, frame: heard.append(frame)
    network.world.boot_all()
    assert network.run_until(lambda: network.joined() == set(LINE))
    network.world.kill(101)
    network.world.nodes[101].disk.keys = {}
    network.world.cut(ROOT, 101)
    network.world.cut(101, 102)
    network.world.boot(101)
    for frame in heard:
        network.world.inject(101, frame)
    network.world.run(network.world.now_ms + MINUTE_MS)
    assert network.world.nodes[101].disk.keys == {}


def test_a_flood_of_requests_stays_at_the_door():
    """Any stranger may ask as often as it likes; a proxy passes one on in its time."""
    network = Network()
    network.world.boot_all()
    assert network.run_until(lambda: network.joined() == set(LINE))
    asks, started_ms = len(network.asked), network.world.now_ms
    stranger = MeterApplicant(JoinCipher(bytes(16), net=NET, node=999), network.coin.randbytes)
    from ohmesh.mesh.counter import Counter  # noqa: PLC0415
    from ohmesh.mesh.frames import Join, JoinStage  # noqa: PLC0415
    from ohmesh.mesh.link import Link  # noqa: PLC0415

    config = StationConfig(node=999, net=NET, is_root=False, epoch=0)
    link = Link(config, Counter(0), KeyedSealer({}))
    for _ in range(600):
        join = Join(JoinStage.REQUEST, 999, stranger.ask())
        network.world.inject(104, link.wrap(0xFFFFFFFF, join)[0])
        network.world.run(network.world.now_ms + 50)
    passed_s = (network.world.now_ms - started_ms) // 1000
    gap_s = 5 / 20
    assert 0 < len(network.asked) - asks <= passed_s / gap_s + 1
    assert network.report_all() == len(LINE)
