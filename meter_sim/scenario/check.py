"""Which words go together in a scenario. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from meter_sim.scenario.model import Driver, LoadKind, What, span_s
from meter_sim.scenario.outcome import FACTS, counts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.scenario.model import Expect, Fault, Load, Scenario

Complaint = tuple[str, int, str, str]
"""(table, its number among its like, key, what is wrong)."""
_ALL, _MESH, _FEED = set(Driver), {Driver.STREET, Driver.STACK}, {Driver.FEED}
_REAL = {Driver.FEED, Driver.STACK}
# What -> who can do it, options it needs, further options it has.
_FAULTS: dict[What, tuple[set[Driver], tuple[str, ...], tuple[str, ...]]] = {
    What.KILL_NODE: (_MESH, ("node",), ()),
    What.LOSE_LINKS: (_MESH, ("percent",), ("share_percent",)),
    What.PARTITION: ({Driver.STREET}, (), ()),
    What.GATEWAY: (_REAL, ("gateway",), ()),
    What.ALL_GATEWAYS: (_REAL, (), ()),
    What.BROKER: (_REAL, (), ()),
    What.DATABASE: (_REAL, (), ()),
    What.HEADEND: (_REAL, (), ()),
    What.SLOW_DATABASE: (_REAL, (), ()),
    What.DUPLICATES: (_FEED, ("times",), ("share_percent",)),
    What.UPLINK_STORM: (_FEED, ("times",), ()),
    What.LATE: (_FEED, (), ("share_percent",)),
    What.LOSS: (_FEED, ("percent",), ("share_percent",)),
    What.CORRUPT: (_FEED, ("percent",), ("share_percent",)),
    What.CLOCK: (_FEED, ("seconds",), ("share_percent",)),
    What.DRIFT: (_FEED, ("seconds",), ("share_percent",)),
    What.OUTAGE: (_FEED, (), ("feeder", "percent")),
    What.EVENT: (_REAL, ("event",), ("node", "share_percent")),
    What.STUCK_RELAY: ({Driver.STACK}, (), ("node", "share_percent")),
    What.BYPASS: ({Driver.STACK}, (), ("node", "share_percent")),
    What.TARIFF: (_FEED, ("price_mu_per_kwh",), ()),
    What.TOP_UP: (_FEED, ("amount_mu",), ()),
    What.COMMAND: ({Driver.STACK}, ("command",), ("node", "share_percent")),
    What.ROLLOVER: ({Driver.KEYPAD}, (), ()),
    What.UNREGISTERED: (_FEED, (), ("share_percent",)),
}
_LOADS: dict[LoadKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    LoadKind.STANDARD: (("path",), ("annual_kwh", "region")),
    LoadKind.MEASURED: (("path",), ("column",)),
    LoadKind.PV: ((), ("peak_w",)),
    LoadKind.HEAT_PUMP: ((), ("peak_w",)),
    LoadKind.EV: ((), ("peak_w",)),
    LoadKind.THEFT: (("percent",), ()),
    LoadKind.EMPTY: ((), ()),
    LoadKind.GAS: ((), ()),
    LoadKind.WATER: ((), ()),
    LoadKind.WATER_LEAK: (("litres_per_h",), ()),
}
_FAULT_WORDS = {"what", "at", "lasts", "holds_s"}
_LOAD_WORDS = {"kind", "share_percent", "meters"}


def complaint(scenario: Scenario) -> Complaint | None:
    """The first thing that does not fit, None when all does."""
    return next(_complaints(scenario), None)


def _complaints(scenario: Scenario) -> Iterator[Complaint]:
    fleet = scenario.fleet
    if fleet.heard_by > fleet.gateways:
        yield "fleet", 0, "heard_by", f"{fleet.heard_by} of {fleet.gateways} gateways"
    if fleet.prepaid > fleet.meters:
        yield "fleet", 0, "prepaid", f"{fleet.prepaid} of {fleet.meters} meters"
    if scenario.driver is not Driver.FEED and scenario.load:
        yield "load", 0, "kind", f"loads are for the driver 'feed', not {scenario.driver.value!r}"
    for index, load in enumerate(scenario.load):
        yield from (("load", index, *wrong) for wrong in _load(load))
    for index, fault in enumerate(scenario.fault):
        yield from (("fault", index, *wrong) for wrong in _fault(fault, scenario))
    for index, expect in enumerate(scenario.expect):
        yield from (("expect", index, *wrong) for wrong in _expect(expect))


def _load(load: Load) -> Iterator[tuple[str, str]]:
    if (load.share_percent is None) == (load.meters is None):
        yield "kind", "give either share_percent or meters"
    needed, further = _LOADS[load.kind]
    yield from _options(load, load.kind.value, needed, {*needed, *further, *_LOAD_WORDS})


def _fault(fault: Fault, scenario: Scenario) -> Iterator[tuple[str, str]]:
    drivers, needed, further = _FAULTS[fault.what]
    if scenario.driver not in drivers:
        names = " or ".join(sorted(driver.value for driver in drivers))
        yield "what", f"{fault.what.value!r} is for the driver {names}"
    if fault.what is What.EVENT and fault.event and scenario.driver is Driver.FEED:
        if not scenario.fleet.sealed:
            yield "event", "events travel under a seal: give the fleet sealed = true"
        if fault.node is not None:
            yield "node", "the driver 'feed' takes share_percent"
    if span_s(fault.at) > span_s(scenario.fleet.lasts):
        yield "at", f"{fault.at} is after the end, {scenario.fleet.lasts}"
    gateways = [f"gw{n}" for n in range(1, scenario.fleet.gateways + 1)]
    if fault.gateway is not None and fault.gateway not in gateways:
        yield "gateway", f"no gateway {fault.gateway!r}; there are {', '.join(gateways)}"
    if fault.feeder is not None and fault.feeder > scenario.fleet.feeders:
        yield "feeder", f"feeder {fault.feeder} of {scenario.fleet.feeders}"
    yield from _options(fault, fault.what.value, needed, {*needed, *further, *_FAULT_WORDS})


def _options(
    entry: Load | Fault, kind: str, needed: tuple[str, ...], allowed: set[str]
) -> Iterator[tuple[str, str]]:
    for name in needed:
        if getattr(entry, name) is None:
            yield "", f"{kind!r} needs {name}"
    for field in msgspec.structs.fields(entry):
        if field.name not in allowed and getattr(entry, field.name) != field.default:
            yield field.name, f"{kind!r} has no {field.name}"


def _expect(expect: Expect) -> Iterator[tuple[str, str]]:
    for name in (expect.fact, expect.equals):
        if isinstance(name, str) and name not in FACTS and not counts_of(name):
            near = get_close_matches(name, FACTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(FACTS)}"
            yield "fact" if name == expect.fact else "equals", f"no fact {name!r}: {hint}"
    if expect.equals is None and expect.min is None and expect.max is None:
        yield "fact", f"{expect.fact}: give equals, min or max"
    if expect.equals is not None and (expect.min is not None or expect.max is not None):
        yield "equals", f"{expect.fact}: equals stands alone"
