"""A small street on virtual time: real meters and mesh stations over the exact channel.

Counts and invariants decide; the limits are far beyond what a sound mesh needs.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from itertools import count, pairwise

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware_profiles import registry
from meter_sim.graph import cut_nodes, routes
from meter_sim.radio import build_links
from meter_sim.store import FleetStore
from meter_sim.street import StreetPlan, make_roster
from meter_sim.testing import NEVER_S, Street
from ohmesh.model.command import Command, CommandKind, RelayState, ResultStatus
from ohmesh.wire.aircontrol import AirAction
from ohmesh.wire.commandbody import BLOCK_BYTES, Offer, decode_wanted
from ohmesh.wire.firmware import sign_image
from ohmesh.wire.metercommand import decode_result, encode_command
from ohmesh.wire.sealed import SealedKind, seal, unseal

LIMIT_S = 600
PLAN = StreetPlan(meters=24, gateways=2, seed=3)


MAKER = bytes(range(32))
MAKER_HEX = (
    Ed25519PrivateKey.from_private_bytes(MAKER)
    .public_key()
    .public_bytes(Encoding.Raw, PublicFormat.Raw)
    .hex()
)


@pytest.fixture
def roster():
    return msgspec.structs.replace(make_roster(PLAN), maker_key_hex=MAKER_HEX)


@pytest.fixture
def new_street(roster, tmp_path):
    """Makes streets with a truth file; each remembers what the one before it did."""
    streets = []

    def make():
        streets.append(Street(roster, FleetStore(tmp_path), truth=tmp_path / "truth.jsonl"))
        return streets[-1]

    yield make
    for street in streets:
        street.close()


@pytest.fixture
def joined(new_street):
    """A street on which everybody has found a gateway."""
    street = new_street()
    street.start()
    assert street.run_until(lambda: all_joined(street), LIMIT_S)
    return street


def status(street):
    return street.fleet.status(street.now_ms)


def opened(street):
    """(meter, opened message) of everything the gateways took."""
    meters = {meter.node: meter for meter in street.roster.meters}
    for (origin, _), payload in street.received.items():
        meter = meters[origin]
        yield meter, unseal(meter.key, meter.address, payload)


def stored(street):
    """(meter, channel, interval end) -> value, as a head-end would decode it."""
    found = {}
    for meter, message in opened(street):
        if message.kind is SealedKind.REPORT:
            decoded = registry.load(meter.profile).decode(message.body)
            for reading in decoded.readings:
                end = reading.time or decoded.time
                found[meter.meter, reading.register.channel, end] = reading.value
    return found


def truth(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = {
        (t["meter"], t["channel"], datetime.fromisoformat(t["interval_end"])): t["value"]
        for t in lines
    }
    assert len(rows) == len(lines)
    return rows


def all_joined(street):
    return status(street).joined == len(street.roster.meters)


def all_arrived(street):
    return len(street.received) >= status(street).reports


def all_stored(street, expected):
    """Let time pass until every expected reading has arrived."""
    for _ in range(LIMIT_S):
        if stored(street).items() >= expected.items():
            return True
        street.run(1)
    return False


def drain(street):
    street.order(0, AirAction.STOP)
    assert status(street).stopped
    assert street.run_until(lambda: all_arrived(street), LIMIT_S)


def test_everybody_joins_and_every_reading_arrives_as_it_was_counted(joined, tmp_path):
    joined.run(10)
    drain(joined)
    expected = truth(tmp_path / "truth.jsonl")
    assert stored(joined).items() >= expected.items()
    assert len(expected) == status(joined).readings == 2 * status(joined).reports
    per_meter = Counter(meter for meter, _, _ in expected)
    assert len(per_meter) == len(joined.roster.meters)
    assert len(set(per_meter.values())) == 1
    assert_each_message_came_once(joined)


def assert_each_message_came_once(street):
    """No counter of a seal was used twice, and no message was handed to the mesh twice."""
    counters = [(meter.meter, message.counter) for meter, message in opened(street)]
    assert len(counters) == len(set(counters))


def test_what_is_acknowledged_is_forgotten_and_the_rest_is_kept(joined):
    joined.run(60)
    store = joined.fleet._around.store
    kept = [store.recall(node) for node in joined.fleet.nodes]
    waiting = sum(len(one.kept) + len(one.messages) for one in kept)
    assert waiting == status(joined).backlog < status(joined).reports // 2


def test_both_gateways_take_part(joined):
    homes = {node: len(root.routes()) for node, root in joined.roots.items()}
    assert min(homes.values()) >= 1


def relays(roster):
    """Meters that others route through, by the graph, busiest first."""
    links = build_links(roster.radio.model, roster.seed, roster.sites)
    roots = [gateway.node for gateway in roster.gateways]
    found = routes(links, roots)
    assert cut_nodes(links, list(found), roots) == set()
    children = Counter(parent for node, (_, parent) in found.items() if parent not in roots)
    return [node for node, _ in children.most_common()]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_killed_relay_takes_no_reading_of_the_others_with_it(joined, tmp_path, place):
    victim = relays(joined.roster)[place]
    joined.order(victim, AirAction.KILL, meter=True)
    joined.run(20)
    joined.order(0, AirAction.STOP)
    name = next(meter.meter for meter in joined.roster.meters if meter.node == victim)
    expected = {k: v for k, v in truth(tmp_path / "truth.jsonl").items() if k[0] != name}
    assert all_stored(joined, expected)
    assert status(joined).alive == len(joined.roster.meters) - 1


def test_a_node_without_its_mesh_goes_on_metering_and_loses_nothing(joined, tmp_path):
    victim = relays(joined.roster)[0]
    joined.order(victim, AirAction.KILL)
    before = status(joined).reports
    joined.run(15)
    assert status(joined).reports == before + 10 * len(joined.roster.meters)
    joined.order(victim, AirAction.REVIVE)
    joined.run(5)
    drain(joined)
    assert stored(joined).items() >= truth(tmp_path / "truth.jsonl").items()


def test_a_gateway_that_dies_loses_its_meters_to_the_other(joined, tmp_path):
    joined.order(joined.roster.gateways[0].node, AirAction.KILL)
    joined.run(20)
    joined.order(0, AirAction.STOP)
    assert all_stored(joined, truth(tmp_path / "truth.jsonl"))


def test_a_fleet_that_dies_goes_on_where_it_was(new_street, tmp_path):
    """The process ends between two turns; its successor finds store and truth file."""
    first = new_street()
    first.start()
    assert first.run_until(lambda: status(first).reports > 100, LIMIT_S)
    first.close()
    second = new_street()
    second.received.update(first.received)
    second.now_ms = first.now_ms + 60_000
    second.start()  # with gateways that have forgotten everything
    before = status(second).reports
    assert before >= 100
    second.run(10)
    assert status(second).reports >= before + 6 * len(second.roster.meters)
    second.order(0, AirAction.STOP)
    expected = truth(tmp_path / "truth.jsonl")
    assert all_stored(second, expected)
    assert_each_message_came_once(second)
    ends = sorted({end for _, _, end in expected})
    assert {later - sooner for sooner, later in pairwise(ends)} == {ends[1] - ends[0]}


def test_a_command_goes_down_is_obeyed_and_answered(joined):
    root = joined.roster.gateways[0].node
    target = max(joined.roots[root].routes(), key=lambda route: route.hops).node
    meter = next(m for m in joined.roster.meters if m.node == target)
    ident = bytes(range(16))
    body = encode_command(Command(ident, CommandKind.RELAY_OFF, 1, NEVER_S))
    octets = seal(meter.key, meter.address, SealedKind.RELEASED, 1, body)

    def results():
        return [
            decode_result(message.body)
            for sender, message in opened(joined)
            if sender is meter and message.kind is SealedKind.RESULT
        ]

    for token in (1, 2):  # sent twice, answered alike
        joined.command(root, target, octets, token)
        assert joined.run_until(lambda wanted=token: len(results()) == wanted, LIMIT_S)
    assert results()[0] == results()[1]
    assert (results()[0].id, results()[0].status) == (ident, ResultStatus.OK)
    assert results()[0].relay is RelayState.DISCONNECTED
    assert joined.commands == {1: True, 2: True}


def test_firmware_gets_to_the_last_house_block_by_block(joined):
    root = next(iter(joined.roots))
    target = max(joined.roots[root].routes(), key=lambda route: route.hops).node
    meter = next(m for m in joined.roster.meters if m.node == target)
    ident, numbers = bytes(range(16)), count(1)
    image = sign_image(MAKER, 2, bytes(range(1, 256)) * 3)
    offer = Offer.of(2, image).encode()

    def send(kind, argument, body):
        number = next(numbers)
        command = Command(ident, kind, 1, NEVER_S, argument, body)
        octets = encode_command(command)
        sealed = seal(meter.key, meter.address, SealedKind.COMMAND, number, octets)
        joined.command(root, target, sealed, number)
        assert joined.run_until(lambda: number in joined.commands, LIMIT_S)

    def ask(answers):
        send(CommandKind.FIRMWARE, 0, offer)
        assert joined.run_until(lambda: len(results()) >= answers, LIMIT_S)
        return results()[-1]

    def results():
        return [
            decode_result(message.body)
            for sender, message in opened(joined)
            if sender is meter and message.kind is SealedKind.RESULT
        ]

    answer = ask(1)
    for asked in range(2, 10):
        if answer.status is not ResultStatus.IN_PROGRESS:
            break
        for block in decode_wanted(answer.proof):
            octets = image[block * BLOCK_BYTES :][:BLOCK_BYTES]
            send(CommandKind.FIRMWARE_BLOCK, block, octets)
        answer = ask(asked)
    assert (answer.status, answer.proof) == (ResultStatus.OK, offer)
