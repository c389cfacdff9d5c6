"""Which element explains dark meters."""

from __future__ import annotations

from headend.outage.alarms import elements
from headend.outage.locate import Element, ElementKind, locate

T1, T2 = (Element(ElementKind.TRANSFORMER, name) for name in ("T1", "T2"))
FEEDER = Element(ElementKind.FEEDER, "F")
RELAY = Element(ElementKind.RELAY, "R")
GATEWAY = Element(ElementKind.GATEWAY, "G")
NAMES = {n: f"M{n}" for n in range(100)}


def found(dark, behind):
    return [
        (g.element.kind.value, g.element.name, sorted(g.meters))
        for g in locate(dark, behind, NAMES)
    ]


def test_a_transformer_before_its_feeder():
    behind = {T1: {1, 2, 3, 4}, T2: {5, 6, 7, 8}, FEEDER: set(range(1, 9))}
    assert found({1, 2, 3}, behind) == [("transformer", "T1", [1, 2, 3])]


def test_a_feeder_when_its_transformers_are_dark():
    behind = {T1: {1, 2, 3, 4}, T2: {5, 6, 7, 8}, FEEDER: set(range(1, 9))}
    assert found({1, 2, 3, 5, 6, 7}, behind) == [("feeder", "F", [1, 2, 3, 5, 6, 7])]


def test_of_equal_elements_the_one_with_fewer_lit_and_then_the_likelier():
    assert found({1, 2}, {T1: {1, 2, 3}, RELAY: {1, 2}}) == [("relay", "R", [1, 2])]
    assert found({1, 2}, {GATEWAY: {1, 2}, FEEDER: {1, 2}, T1: {1, 2}}) == [
        ("transformer", "T1", [1, 2])
    ]


def test_what_has_nothing_in_common_stands_alone():
    behind = {T1: set(range(1, 11)), T2: set(range(11, 21))}
    assert found({1, 2, 11}, behind) == [
        ("meter", "M1", [1]),
        ("meter", "M2", [2]),
        ("meter", "M11", [11]),
    ]


def test_two_faults_at_once_are_two_groups():
    behind = {T1: {1, 2, 3}, T2: {4, 5, 6}, FEEDER: set(range(1, 30))}
    assert found({1, 2, 3, 4, 5}, behind) == [
        ("transformer", "T1", [1, 2, 3]),
        ("transformer", "T2", [4, 5]),
    ]


def test_elements_of_meters():
    def meter(number, node, **more):
        usual = {"transformer": None, "feeder": None, "gateway": "gw1"}
        return {"id": number, "name": f"M{number}", "node": node} | usual | more

    meters = [meter(1, 10, transformer="T1"), meter(2, 11), meter(3, 12)]
    behind = elements(meters, {11: 10, 12: 11, 10: 1})
    assert behind == {
        T1: {1},
        Element(ElementKind.GATEWAY, "gw1"): {1, 2, 3},
        Element(ElementKind.RELAY, "M1"): {1, 2, 3},
        Element(ElementKind.RELAY, "M2"): {2, 3},
    }
    assert elements([meter(1, 10), meter(2, 11)], {10: 11, 11: 10})  # a loop ends
