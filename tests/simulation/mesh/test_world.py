"""Whole networks on virtual time: they form, deliver, heal and stay free of loops."""

from itertools import combinations, pairwise

import pytest

from ohmesh.mesh import PersistRoute, StationConfig, codec
from ohmesh.mesh.constants import INFINITE_RANK
from ohmesh.mesh.frames import Adv, Sol
from ohmesh.mesh.testing import World, street

QUARTER_MS = 900_000


def formed(seed=1, **more):
    world = street(seed, **more)
    world.boot_all(1000)
    assert world.run(300_000, lambda: world.now_ms > 1000 and not world.unjoined()), (
        world.unjoined()
    )
    return world


def meters(world):
    return [node for node in world.stations() if not world.nodes[node].config.is_root]


def report(world, label, sent):
    for node in meters(world):
        payload = f"{label}/{node}".encode()
        world.submit(node, payload)
        sent.add((node, payload))


def arrived(world):
    return {(origin, p) for (origin, _), copies in world.delivered.items() for _, p in copies}


def children(world):
    counts = {}
    for node in meters(world):
        parent = world.station(node).parent
        counts[parent] = counts.get(parent, 0) + 1
    return counts


def busiest_relay(world):
    return max((count, node) for node, count in children(world).items() if node > 100)[1]


@pytest.mark.parametrize(
    ("seed", "count", "roots", "loss", "divisor"),
    [(1, 30, 1, 0, 1), (2, 60, 2, 10, 1), (3, 60, 2, 20, 20), (4, 45, 3, 15, 7)],
)
def test_all_join_deliver_and_are_acknowledged(seed, count, roots, loss, divisor):
    world = formed(seed, meters=count, roots=roots, loss_percent=loss, timer_divisor=divisor)
    sent = set()
    for turn in range(4):
        report(world, turn, sent)
        world.run(world.now_ms + QUARTER_MS // divisor)
        assert world.cycle() == []
    assert arrived(world) == sent
    world.run(world.now_ms + 8_000_000 // divisor)
    assert world.backlog() == 0
    assert not any(slot.disk.payloads for slot in world.nodes.values())
    ranks = {node: world.station(node).rank for node in world.stations()}
    assert max(ranks.values()) < INFINITE_RANK
    for node in meters(world):
        assert ranks[node] > ranks[world.station(node).parent] - 300


@pytest.mark.parametrize("seed", range(3))
def test_survivors_of_a_dead_relay_heal_and_lose_nothing(seed):
    world = formed(seed, meters=50, roots=2, range_m=36, loss_percent=15)
    sent = set()
    report(world, "before", sent)
    world.run(world.now_ms + 60_000)
    victim = busiest_relay(world)
    world.kill(victim)
    died_ms = world.now_ms
    report(world, "during", sent)
    assert world.run(died_ms + 60_000, lambda: not world.unattached())
    world.run(died_ms + 60_000)
    report(world, "after", sent)
    world.run(world.now_ms + QUARTER_MS)
    report(world, "later", sent)
    world.run(world.now_ms + 8_000_000)
    assert {one for one in sent - arrived(world) if one[0] != victim} == set()
    assert world.backlog() == 0
    assert world.cycle() == []


def test_a_probe_of_the_last_parent_that_fails_is_repeated_within_seconds():
    world = World(5)
    world.add(StationConfig(node=1, net=1, is_root=True, epoch=1_750_000_000))
    world.add(StationConfig(node=101, net=1, is_root=False, epoch=0))
    world.link(1, 101)
    world.boot_all()
    assert world.run(60_000, lambda: world.now_ms > 1000 and not world.unjoined())
    row = world.station(101)._engine.core.neighbours.get(1)
    row.etx_128ths = 400  # poor enough that eight failures may be luck
    world.kill(1)
    assert world.run(world.now_ms + 900_000, lambda: row.failures == 1)
    failed_ms = world.now_ms
    assert world.station(101).parent == 1
    assert world.run(failed_ms + 15_000, lambda: world.station(101).parent is None)


def test_any_one_relay_may_die():
    """Every position, on one small network at demo speed."""
    for victim in range(101, 113):
        world = formed(7, meters=12, roots=1, range_m=36, loss_percent=10, timer_divisor=20)
        sent = set()
        report(world, "before", sent)
        world.run(world.now_ms + 300)
        world.kill(victim)
        report(world, "during", sent)
        world.run(world.now_ms + 30_000)
        report(world, "after", sent)
        world.run(world.now_ms + 60_000)
        missing = {one for one in sent - arrived(world) if one[0] != victim}
        assert missing == set(), victim
        assert world.unattached() == []


def test_nodes_of_a_dead_gateway_move_to_the_other():
    world = formed(5, meters=40, roots=2, loss_percent=10)
    sent = set()
    report(world, "before", sent)
    world.run(world.now_ms + 30_000)
    orphans = [node for node in meters(world) if world.station(node).root == 1]
    assert len(orphans) > 5
    world.kill(1)
    died_ms = world.now_ms
    report(world, "during", sent)

    def moved():
        homes = [world.station(node) for node in meters(world)]
        return all(home.root == 2 and home.joined for home in homes)

    assert world.run(died_ms + 180_000, moved)
    report(world, "after", sent)
    world.run(world.now_ms + 8_000_000)
    assert arrived(world) == sent
    assert len(world.station(2).routes()) == 40


def test_nodes_leave_a_gateway_that_lost_its_uplink_and_come_back_to_a_lone_one():
    world = formed(5, meters=40, roots=2, loss_percent=5)
    assert any(world.station(node).root == 1 for node in meters(world))
    world.set_grounded(1, grounded=False)
    world.run(world.now_ms + 25_000)
    assert any(world.station(node).root == 1 for node in meters(world))  # a blip moves nobody
    world.run(world.now_ms + 1_200_000)
    assert all(world.station(node).root == 2 for node in meters(world))
    world.kill(2)
    sent = set()
    report(world, "alone", sent)
    world.run(world.now_ms + 1_200_000)
    # A root without uplink still stores, and is better than none.
    assert all(world.station(node).root == 1 for node in meters(world))
    world.run(world.now_ms + 8_000_000)
    assert arrived(world) >= sent


def test_reboot_with_its_store_loses_nothing_and_repeats_no_number():
    world = formed(6, meters=20, roots=1, loss_percent=10)
    sent = set()
    node = busiest_relay(world)
    for turn in range(3):
        for i in range(5):
            payload = b"%d/%d" % (turn, i)
            world.submit(node, payload)
            sent.add((node, payload))
        world.kill(node)
        world.run(world.now_ms + 5_000)
        world.boot(node)
        world.run(world.now_ms + 60_000)
    world.run(world.now_ms + 8_000_000)
    assert arrived(world) >= sent
    assert world.station(node).backlog == 0
    for (origin, _), copies in world.delivered.items():
        if origin == node:
            assert len({payload for _, payload in copies}) == 1


def test_what_arrived_before_a_reboot_is_not_sent_again():
    world = formed(6, meters=20, roots=1)
    node = busiest_relay(world)
    for i in range(5):
        world.submit(node, b"%d" % i)
    world.run(world.now_ms + 60_000)
    assert world.station(node).backlog == 5
    world.kill(node)
    world.boot(node)
    world.run(world.now_ms + 600_000)
    copies = [len(got) for (origin, _), got in world.delivered.items() if origin == node]
    assert copies == [1] * 5
    assert world.station(node).backlog == 0


def test_store_and_forward_over_a_long_partition():
    world = formed(8, meters=12, roots=1)
    links = {node: dict(world.links[1]) for node in (1,)}
    for other in links[1]:
        world.cut(1, other)
    sent = set()
    for turn in range(40):
        report(world, turn, sent)
        world.run(world.now_ms + QUARTER_MS)
    assert arrived(world) & sent == set()
    for other, rssi in links[1].items():
        world.link(1, other, rssi)
    world.run(world.now_ms + 600_000)
    assert arrived(world) == sent
    world.run(world.now_ms + 8_000_000)
    assert world.backlog() == 0


def test_commands_reach_every_meter():
    world = formed(9, meters=40, roots=2, range_m=36, loss_percent=15)
    world.run(world.now_ms + 30_000)
    for token, node in enumerate(meters(world), 1):
        world.command(world.station(node).root, node, b"open %d" % node, token)
        world.run(world.now_ms + 2_000)
    world.run(world.now_ms + 120_000)
    assert len(world.results) == 40
    assert all(result.ok for result in world.results.values())
    assert world.received == {node: [b"open %d" % node] for node in meters(world)}


def test_command_finds_its_way_round_a_dead_relay():
    world = formed(10, meters=30, roots=1, range_m=36, loss_percent=5)
    world.run(world.now_ms + 30_000)
    relay = busiest_relay(world)
    below = [node for node in meters(world) if world.station(node).parent == relay]
    world.kill(relay)
    for token, node in enumerate(below, 1):
        world.command(1, node, b"close", token)
    world.run(world.now_ms + 900_000)
    assert [world.results[token].ok for token in range(1, len(below) + 1)] == [True] * len(below)


def test_command_to_a_dead_or_unknown_meter_ends():
    world = formed(11, meters=9, roots=1)
    world.kill(105)
    world.command(1, 105, b"x", 1)
    world.command(1, 999, b"x", 2)
    assert (world.results[2].ok, world.results[2].reason.value) == (False, "no_route")
    world.run(world.now_ms + 1_000_000)
    assert (world.results[1].ok, world.results[1].reason.value) == (False, "expired")


def test_command_waits_in_the_mailbox_until_the_meter_is_back():
    world = formed(12, meters=9, roots=1)
    world.kill(105)
    world.command(1, 105, b"x", 1)
    world.run(world.now_ms + 300_000)
    assert 1 not in world.results
    world.boot(105)
    world.run(world.now_ms + 120_000)
    assert world.results[1].ok
    assert world.received[105] == [b"x"]


def test_gateway_reboot_without_disk_is_found_again():
    world = formed(13, meters=25, roots=1, loss_percent=10)
    world.kill(1)
    world.run(world.now_ms + 120_000)
    assert world.cycle() == []
    world.boot(1, blank=True)
    back_ms = world.now_ms
    assert world.run(
        back_ms + 300_000,
        lambda: len(world.station(1).routes()) == 25 and not world.unattached(),
    )
    sent = set()
    report(world, "back", sent)
    world.run(world.now_ms + 8_000_000)
    assert arrived(world) >= sent


def test_gateway_reboot_with_its_disk_commands_at_once_and_calls_nobody():
    world = formed(13, meters=25, roots=1, range_m=36, loss_percent=10)
    world.run(world.now_ms + 60_000)
    world.kill(1)
    world.run(world.now_ms + 20_000)
    registered = []
    world.tap = lambda _node, frame: registered.append(frame) if frame[0] & 0xF == 3 else None
    world.boot(1)
    for token, node in enumerate(meters(world), 1):
        world.command(1, node, b"open", token)
    world.run(world.now_ms + 10_000)
    ok = [token for token, result in world.results.items() if result.ok]
    assert len(ok) >= 23
    assert len(registered) < 10
    world.run(world.now_ms + 60_000)
    assert all(world.results[token].ok for token in range(1, 26))


def frames_of(world, kind):
    """Every frame of a type put on the air from now on."""
    seen = []
    world.tap = lambda node, frame: seen.append(node) if frame[0] & 0xF == kind else None
    return seen


def test_a_cold_start_costs_few_registrations_a_node():
    world = street(21, meters=60, roots=1, loss_percent=10)
    registrations = frames_of(world, 3)
    world.boot_all(1000)
    assert world.run(200_000, lambda: world.now_ms > 5_000 and not world.unjoined())
    hops = sum(world.station(node).hops for node in meters(world))
    assert len(registrations) < 3 * hops


def test_who_finds_its_way_again_does_not_register_again():
    """A gateway that was off with its disk: its direct children come back to the same parent."""
    world = shaped([(1, node) for node in range(101, 121)], loss_percent=0)
    assert world.run(120_000, lambda: all_there(world))
    world.kill(1)
    report(world, "noticed", set())
    world.run(world.now_ms + 60_000)
    assert len(world.unattached()) == 20
    registrations = frames_of(world, 3)
    world.boot(1)
    assert world.run(world.now_ms + 120_000, lambda: not world.unattached())
    world.run(world.now_ms + 120_000)
    assert registrations == []
    assert not world.unjoined()


def test_the_silent_death_of_a_gateway_is_heard_of_by_all_soon():
    """One meter has something to send; the others probe when they hear that it lost its way."""
    world = shaped(list(combinations([1, *range(101, 113)], 2)), loss_percent=0)
    assert world.run(120_000, lambda: all_there(world))
    world.kill(1)
    world.submit(101, b"reading")
    assert world.run(world.now_ms + 60_000, lambda: len(world.unattached()) == 12)


def test_route_records_that_cannot_be_read_are_left_out():
    world = formed(13, meters=4, roots=1)
    world.kill(1)
    for node, record in list(world.nodes[1].disk.routes.items()):
        torn = record.record[: node % 16]
        world.nodes[1].disk.routes[node] = PersistRoute(node, torn)
    world.boot(1)
    world.run(world.now_ms + 7_200_000)
    assert len(world.station(1).routes()) == 4


def test_last_gasps_reach_the_gateway_and_quieten_the_network():
    world = formed(18, meters=30, roots=1, range_m=40, loss_percent=10)
    world.run(world.now_ms + 30_000)
    feeder = range(119, 131)
    for node in feeder:
        world.last_gasp(node)
    world.run(world.now_ms + 20_000)
    reported = {node for report in world.power if not report.restored for node in report.nodes}
    assert len(reported & set(feeder)) >= 8
    assert reported <= set(feeder)
    assert world.totals.traces["root.collect_only"] == 1
    for node in feeder:
        world.restore(node)
    world.run(world.now_ms + 400_000)
    back = {node for report in world.power if report.restored for node in report.nodes}
    assert back == set(feeder)
    assert not world.unjoined()


def test_gateway_whose_clock_fell_back_overtakes_its_own_past():
    world = formed(14, meters=9, roots=1)
    world.kill(1)
    slot = world.nodes[1]
    slot.config = type(slot.config)(node=1, net=0x0A11, is_root=True, epoch=0)
    world.boot(1, blank=True)
    world.run(world.now_ms + 600_000)
    assert world.totals.traces["root.overtook"] >= 1
    assert world.unattached() == []


def test_replayed_air_changes_nothing():
    world = formed(15, meters=12, roots=1)
    air = []
    world.tap = lambda node, frame: air.append((node, frame))
    sent = set()
    for turn in range(12):
        report(world, turn, sent)
        world.run(world.now_ms + QUARTER_MS)
    world.tap = None
    before = {node: (s.rank, s.parent, s.root) for node, s in world.stations().items()}
    copies = sum(len(copies) for copies in world.delivered.values())
    for _, frame in air[: len(air) // 2]:
        for node in list(world.stations()):
            world.inject(node, frame)
    assert world.totals.rejected["replay"] > 100
    assert sum(len(copies) for copies in world.delivered.values()) == copies
    assert {node: (s.rank, s.parent, s.root) for node, s in world.stations().items()} == before


def test_same_seed_same_run():
    runs = []
    for _ in range(2):
        world = formed(16, meters=20, roots=2, loss_percent=20)
        air = []
        world.tap = lambda node, frame, air=air: air.append((node, frame))
        report(world, 0, set())
        world.run(world.now_ms + QUARTER_MS)
        runs.append(air)
    assert runs[0] == runs[1]


def test_flapping_links_close_no_loop():
    world = formed(17, meters=30, roots=2, range_m=40, loss_percent=10, timer_divisor=10)
    pairs = sorted({tuple(sorted((a, b))) for a in world.links for b in world.links[a]})
    flapping = pairs[::4]
    sent = set()
    for turn in range(20):
        for one, other in flapping:
            if turn % 3:
                world.link(one, other)
            else:
                world.cut(one, other)
        report(world, turn, sent)
        for _ in range(20):
            world.run(world.now_ms + 1_000)
            assert world.cycle() == []
    world.run(world.now_ms + 1_600_000)
    assert arrived(world) == sent


def shaped(links, **more):
    world = World(3, more.pop("loss_percent", 10))
    for node in sorted({node for link in links for node in link}):
        is_root = node < 100
        world.add(StationConfig(node=node, net=1, is_root=is_root, epoch=9 * is_root, **more))
    for one, other in links:
        world.link(one, other)
    world.boot_all(1000)
    return world


def all_there(world):
    return len(world.stations()) == len(world.nodes) and not world.unjoined()


CHAIN = [1, *range(101, 121)]
SHAPES = {
    "chain of 20 hops": list(pairwise(CHAIN)),
    "one relay with 40 children": [(1, 101), *((101, node) for node in range(102, 142))],
    "everybody hears everybody": list(combinations([1, 2, *range(101, 131)], 2)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_awkward_shapes_join_and_deliver(shape):
    world = shaped(SHAPES[shape], timer_divisor=5)
    assert world.run(120_000, lambda: all_there(world))
    sent = set()
    report(world, 0, sent)
    world.run(world.now_ms + 200_000)
    assert arrived(world) == sent


def test_a_node_that_lost_its_way_says_so_three_times_and_holds_its_tongue():
    world = shaped([(1, 101), (101, 102)], loss_percent=0)
    assert world.run(60_000, lambda: all_there(world))
    heard = []

    def tap(node, frame):
        kind, body = frame[0] & 0xF, frame[17:-8]
        if node == 101 and frame[8:12] == b"\xff" * 4 and kind in (1, 2):
            heard.append((world.now_ms, codec.decode(kind, body)))

    world.tap = tap
    world.kill(1)
    world.submit(101, b"reading")
    world.run(world.now_ms + 12_000)
    lost = [frame.tag.rank if isinstance(frame, Adv) else 0 for _, frame in heard]
    heard = heard[lost.index(INFINITE_RANK) :]
    first = heard[0][0]
    advs = [(at - first, frame.tag.rank) for at, frame in heard if isinstance(frame, Adv)]
    assert advs == [(0, INFINITE_RANK), (1000, INFINITE_RANK), (2000, INFINITE_RANK)]
    sols = [at - first for at, frame in heard if isinstance(frame, Sol)]
    assert sols[0] == 4000
    # The child believed it at once and did not offer itself as a way.
    assert world.station(102).parent is None
    assert world.station(101).parent is None


def test_world_refuses_to_speak_for_the_dead():
    world = World(1)
    with pytest.raises(KeyError):
        world.station(5)


def test_a_command_whose_report_is_lost_is_sent_again_and_executed_once():
    world = shaped([(1, 101), (101, 102)], loss_percent=0)
    assert world.run(60_000, lambda: all_there(world))
    emitted = []
    lost = []

    def censor(node, frame):
        kind = frame[0] & 0xF
        if kind == 6 and node == 1:
            emitted.append(world.now_ms)
        if kind == 8 and node == 101 and len(emitted) < 3:
            lost.append(frame)
            world.loss_percent = 100
        else:
            world.loss_percent = 0

    world.tap = censor
    world.command(1, 102, b"open", 1)
    world.run(world.now_ms + 120_000)
    assert len(emitted) >= 2
    assert lost
    assert world.results[1].ok
    assert world.received[102] == [b"open"]


def test_gateway_back_with_a_blank_disk_before_anyone_noticed_gets_its_routes_again():
    """Its call for registrations must differ from the last boot's, which it cannot remember."""
    world = formed(1, meters=9, roots=1)
    world.kill(1)
    world.run(world.now_ms + 5_000)
    world.boot(1, blank=True)
    assert world.station(1).routes() == []
    assert world.run(world.now_ms + 120_000, lambda: len(world.station(1).routes()) == 9)
