"""A process of a city on a broker: `python -m meter_sim.broker_city PLAN air|N` (a part)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from meter_sim.broker_city.engines import Engines
from meter_sim.broker_city.plan import WirePlan
from meter_sim.city.profiles import profile_named
from meter_sim.city.world import NET
from meter_sim.ether import Ether
from meter_sim.ether_app import EtherApp
from meter_sim.fleet_app import FleetApp
from meter_sim.medium import Medium
from meter_sim.pump import until_told
from meter_sim.store import FleetStore
from ohmesh.wire.brokerurl import BrokerUrl


def _air(plan: WirePlan, url: BrokerUrl) -> None:
    links = plan.links()
    medium = Medium(
        links.as_links(),
        seed=plan.seed,
        rate_kbps=profile_named(plan.profile).radio.rate_kbps,
        time_divisor=plan.divisor,
    )
    ether = Ether(range(1, len(links) + 1), medium)
    asyncio.run(until_told(EtherApp(ether, NET, url).run()))


def _engines(plan: WirePlan, url: BrokerUrl, part: int, folder: Path) -> None:
    with FleetStore(folder) as store:
        asyncio.run(until_told(FleetApp(Engines(plan, part, store), NET, url, ()).run()))


def main(file: Path, role: str) -> None:
    """Play the radio, or the engines of a part, until told to end."""
    plan = WirePlan.read(file)
    url = BrokerUrl.parse(plan.air_url)
    if role == "air":
        _air(plan, url)
    else:
        _engines(plan, url, int(role), file.parent / f"engines-{role}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
