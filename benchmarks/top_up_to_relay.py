"""From a payment to light: how long until the relay is read back closed, in the demo's mesh.

Sixty meters, two gateways, broker, database and head-end, as `ohmesh demo` runs them. Customers
run out of credit and are cut; each then pays, one after the other, and the time counts until the
API shows the relay that was read back closed. A gateway lets a tenth of its meters be cut in an
hour, so a street gives about six samples; several are put together. Prints one JSON object last.

    python benchmarks/top_up_to_relay.py [--seeds 1 2 3 4 5] [--customers 6] [--meters 60]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from meter_sim.demo.air import Air
from meter_sim.demo.client import HeadEnd
from meter_sim.demo.options import Options
from meter_sim.demo.stack import Stack
from meter_sim.register import register
from meter_sim.street import StreetPlan, make_roster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_S = 0.1
PATIENCE_S = 150
PRICE_MU = 30_000
SAFE_MU = 10**12


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S} s for {what}")
        await asyncio.sleep(POLL_S)


async def measure(stack: Stack, customers: int) -> list[float]:
    """Seconds from a payment's answer being asked for to the relay read back closed."""
    air = Air(stack.broker_url, stack.roster.net)
    listening = asyncio.create_task(air.run(), name="air")
    try:
        async with HeadEnd(stack.api_url, stack.token) as headend:
            await until(headend.ready, "the head-end")
            await register(stack.api_url, stack.token, stack.roster, stack.roster.meters)
            await asyncio.to_thread(part_areas, stack.audit_url)

            async def joined() -> bool:
                return air.joined == len(stack.roster.meters)

            await until(joined, "the mesh")
            meters = [m.meter for m in stack.roster.meters]
            chosen = meters[:: max(1, len(meters) // customers)][:customers]
            for meter in chosen:
                await headend.open_account(meter, meter, currency="EUR", price_mu_per_kwh=PRICE_MU)
                await headend.top_up(meter, 1, f"first-{meter}")
            return await wait_and_pay(headend, chosen)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def part_areas(url: str) -> None:
    """An area for each meter: three cuts an hour are the most of one."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "insert into ohmesh.service_point (tenant_id, name, area)"
            " select tenant_id, 'area-' || name, name from ohmesh.meter"
        )
        admin.execute(
            "update ohmesh.meter m set service_point_id = s.id"
            " from ohmesh.service_point s where s.name = 'area-' || m.name"
        )


async def wait_and_pay(headend: HeadEnd, waiting: list[str]) -> list[float]:
    """Whoever is read back open pays; one after the other until nobody is open any more."""
    taken: list[float] = []
    quiet_since = time.monotonic()
    waiting = list(waiting)
    while waiting and time.monotonic() - quiet_since < PATIENCE_S / 3:
        for meter in list(waiting):
            if (await headend.account(meter))["supply_actual"] == "disconnected":
                taken.append(await paid(headend, meter))
                waiting.remove(meter)
                quiet_since = time.monotonic()
        await asyncio.sleep(POLL_S)
    return taken


async def paid(headend: HeadEnd, meter: str) -> float:
    begun = time.monotonic()
    await headend.top_up(meter, SAFE_MU, f"second-{meter}")

    async def closed() -> bool:
        return bool((await headend.account(meter))["supply_actual"] == "connected")

    await until(closed, f"the relay of {meter}")
    return time.monotonic() - begun


def street(meters: int, seed: int) -> StreetPlan:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return StreetPlan(
        meters=meters,
        gateways=2,
        seed=seed,
        start=now - timedelta(days=2),
        interval_s=900,
        calendar_speed=450,
        timer_divisor=20,
        closed=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--customers", type=int, default=6)
    parser.add_argument("--meters", type=int, default=60)
    asked = parser.parse_args()
    nothing = Options(
        asked.meters, 1, None, serve=False, truth=None, database=None, broker=None, quiet=True
    )
    taken: list[float] = []
    for seed in asked.seeds:
        plan = street(asked.meters, seed)
        with Stack(replace(nothing, seed=seed), make_roster(plan)) as stack:
            taken += asyncio.run(measure(stack.start(), asked.customers))
    taken.sort()
    print(
        json.dumps(
            {
                "samples": len(taken),
                "p50_s": round(taken[len(taken) // 2], 2),
                "p95_s": round(taken[len(taken) * 95 // 100], 2),
                "max_s": round(taken[-1], 2),
                "taken_s": [round(one, 2) for one in taken],
            }
        )
    )


if __name__ == "__main__":
    main()
