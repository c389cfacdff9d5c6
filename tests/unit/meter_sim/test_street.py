"""Streets: the same seed the same street, everybody reachable, nobody indispensable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from meter_sim.graph import cut_nodes, routes
from meter_sim.radio import Links, build_links
from meter_sim.roster import RosterRadio, decode_roster
from meter_sim.street import StreetPlan, make_roster
from ohmesh.model.errors import ConfigError

PLAN = StreetPlan(meters=60)


def links_of(roster):
    return build_links(roster.radio.model, roster.seed, roster.sites)


def roots_of(roster):
    return [gateway.node for gateway in roster.gateways]


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_street_of_sixty_has_several_hops_both_gateways_and_no_single_point_of_failure(seed):
    roster = make_roster(replace(PLAN, seed=seed))
    links, roots = links_of(roster), roots_of(roster)
    found = routes(links, roots)
    assert len(found) == 62
    assert 2 <= max(hops for hops, _ in found.values()) <= 5
    assert cut_nodes(links, list(found), roots) == set()
    assert all(len(links.usable(meter.node)) >= 2 for meter in roster.meters)

    def root_of(node):
        while found[node][1] != node:
            node = found[node][1]
        return node

    homes = Counter(root_of(meter.node) for meter in roster.meters)
    assert min(homes[root] for root in roots) >= 15
    children = Counter(parent for node, (_, parent) in found.items() if node != parent)
    assert max(children[meter.node] for meter in roster.meters) >= 2


def test_the_same_seed_gives_the_same_street_but_never_the_same_keys():
    one, other = make_roster(PLAN), make_roster(PLAN)

    def places(roster):
        return [(m.meter, m.node, m.x_m, m.y_m, m.profile) for m in roster.meters]

    assert places(one) == places(other)
    assert places(one) != places(make_roster(replace(PLAN, seed=2)))
    assert not {m.key_hex for m in one.meters} & {m.key_hex for m in other.meters}
    assert len({m.key_hex for m in one.meters}) == 60


def test_profiles_are_dealt_out_in_turn_and_the_first_meters_prepay():
    roster = make_roster(StreetPlan(meters=7, profiles=("a", "b", "c"), prepaid=2))
    assert [m.profile for m in roster.meters] == list("abcabca")
    assert [m.prepaid for m in roster.meters] == [True, True] + [False] * 5


@pytest.mark.parametrize("meters", [1, 2, 3, 6, 10])
def test_small_streets_are_whole_and_survive_their_json(meters):
    roster = make_roster(StreetPlan(meters=meters, gateways=1))
    assert len(routes(links_of(roster), [1])) == meters + 1
    assert decode_roster(roster.to_json()) == roster


def test_what_cannot_be_connected_is_refused():
    deaf = RosterRadio(transmit_dbm=-30)
    with pytest.raises(ConfigError, match="another seed or more gateways"):
        make_roster(StreetPlan(meters=20, radio=deaf))


@pytest.mark.parametrize(
    "wrong", [{"meters": 0}, {"gateways": 0}, {"gateways": 100}, {"profiles": ()}]
)
def test_a_senseless_plan_is_refused(wrong):
    with pytest.raises(ConfigError):
        make_roster(replace(PLAN, **wrong))


def line(*nodes):
    heard = {node: {} for node in nodes}
    for one, other in pairwise(nodes):
        heard[one][other] = heard[other][one] = -700
    return heard


def test_routes_follow_the_cheapest_way():
    heard = line(1, 2, 3, 4)
    heard[1][4] = heard[4][1] = -1048  # one bad hop costs more than three good ones
    assert routes(Links(heard), [1]) == {1: (0, 1), 2: (1, 1), 3: (2, 2), 4: (3, 3)}


def test_everybody_on_a_line_depends_on_those_before_it():
    assert cut_nodes(Links(line(1, 2, 3, 4)), [1, 2, 3, 4], [1]) == {1, 2, 3}
    assert cut_nodes(Links(line(1, 2, 3, 4)), [1, 2, 3, 4], [1, 4]) == set()


def test_on_a_ring_only_the_one_gateway_is_indispensable():
    heard = line(1, 2, 3, 4)
    heard[1][4] = heard[4][1] = -700
    assert cut_nodes(Links(heard), [1, 2, 3, 4], [1]) == {1}
