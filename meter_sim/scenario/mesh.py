"""What the drivers with a mesh share: which nodes a fault is about, and what meters produced.

Both tell one story: wait until all meters have joined, let the faults happen, stop the meters, and
wait until all that they produced is where it belongs. A meter that a fault cuts off has healed when
an interval that it closed afterwards has arrived.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from meter_sim.demo import topology
from meter_sim.scenario.model import span_s
from meter_sim.scenario.outcome import ALARMS_OF, EVENTS_OF, Key
from meter_sim.street import StreetPlan, make_roster
from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from random import Random

    from meter_sim.demo.audit import Audit
    from meter_sim.roster import Roster
    from meter_sim.scenario.model import Fault, Scenario

DIFFERENCES_MAX = 50
BUSIEST = "busiest"


class MeshRunError(OhmeshError):
    """A run that did not come to its end."""


def roster_of(scenario: Scenario) -> Roster:
    """The street of a scenario. Raises ConfigError when no draw of it can work."""
    plan = scenario.fleet
    return make_roster(
        StreetPlan(
            meters=plan.meters,
            gateways=plan.gateways,
            seed=scenario.seed,
            profiles=tuple(plan.profiles),
            prepaid=plan.prepaid,
            start=plan.start,
            interval_s=plan.interval_s,
            calendar_speed=plan.calendar_speed,
            timer_divisor=plan.timer_divisor,
        )
    )


class Hands(Protocol):
    """What a driver can do to its street."""

    def act(self, fault: Fault, nodes: list[int], *, begins: bool) -> None:
        """Begin or end a fault at some nodes."""
        ...

    def parents(self) -> Mapping[int, Mapping[str, Any]]:
        """The mesh: node -> kind and parent, as `topology` wants it."""
        ...


def chosen(fault: Fault, roster: Roster, hands: Hands, dice: Random) -> list[int]:
    """The nodes that a fault is about."""
    names = {meter.meter: meter.node for meter in roster.meters}
    if fault.node == BUSIEST:
        parents = hands.parents()
        found = topology.busiest_relay(parents, ())
        return [found if found is not None else roster.meters[0].node]
    if fault.node is not None:
        if fault.node not in names:
            raise MeshRunError(f"no meter {fault.node!r}; there are M0001 and so on, and 'busiest'")
        return [names[fault.node]]
    nodes = sorted(names.values())
    return dice.sample(nodes, round(len(nodes) * fault.share_percent / 100))


def halves(roster: Roster) -> tuple[list[int], list[int]]:
    """The street cut at its middle, gateways with their side."""
    sites = sorted((site.x_m, site.node) for site in roster.sites)
    nodes = [node for _, node in sites]
    return nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]


def event_facts(audit: Audit) -> dict[str, float]:
    """Events of the head-end, all and by kind."""
    kinds = audit.events()
    facts: dict[str, float] = {"events": sum(kinds.values())}
    return facts | {f"{EVENTS_OF}{kind}": count for kind, count in kinds.items()}


def alarm_facts(audit: Audit) -> dict[str, float]:
    """Alarms of outages, all and by the kind of the element that has failed."""
    found = audit.outages()
    kinds = Counter(kind for kind, _, _ in found)
    return {
        "alarms": len(found),
        "alarms_open": sum(state != "closed" for _, state, _ in found),
        "alarm_meters": sum(meters for _, _, meters in found),
        **{f"{ALARMS_OF}{kind}": count for kind, count in kinds.items()},
    }


def moments(faults: Iterable[Fault]) -> list[tuple[float, bool, int, Fault]]:
    """(seconds, whether it begins, number, fault) in the order of time; all of them end."""
    found: list[tuple[float, bool, int, Fault]] = []
    for number, fault in enumerate(faults):
        at_s = float(span_s(fault.at))
        found.append((at_s, True, number, fault))
        found.append((at_s + max(span_s(fault.lasts), 0.001), False, number, fault))
    return sorted(found, key=lambda moment: (moment[0], moment[2]))


def read_truth(path: Path) -> dict[Key, set[Decimal]]:
    """What the meters wrote that they produced."""
    expected: dict[Key, set[Decimal]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        key = Key(row["meter"], row["channel"], datetime.fromisoformat(row["interval_end"]))
        expected.setdefault(key, set()).add(Decimal(row["value"]).scaleb(row["scaler"]))
    return expected
