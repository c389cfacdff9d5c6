"""Who is there, told to the head-end before a fed scenario begins, or later."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from meter_sim.demo.client import HeadEnd
    from meter_sim.scenario.model import Fleet
    from meter_sim.scenario.sources import Source

CURRENCY, TARIFF, PRICE_MU = "EUR", "prepaid", 30_000
_AT_ONCE = 8


def account_of(source: Source) -> str:
    """The name of a prepaying customer's account."""
    return f"A-{source.meter}"


async def introduce(
    headend: HeadEnd, plan: Fleet, gateways: Iterable[str], sources: list[Source]
) -> None:
    """Gateways, meters with their place on the grid, accounts. May be repeated."""
    for gateway in gateways:
        await headend.register_gateway(gateway)
    await _abreast(_register(headend, plan, source) for source in sources)
    begin = plan.start.astimezone(UTC).isoformat()
    prepaid = [s for s in sources if s.prepaid]
    if prepaid:
        await headend.add_tariff(TARIFF, CURRENCY, PRICE_MU, None)
    for source in prepaid:
        await headend.open_tariff_account(account_of(source), source.meter, TARIFF, begin)


async def _register(headend: HeadEnd, plan: Fleet, source: Source) -> None:
    more: dict[str, Any] = {"interval_s": plan.interval_s}
    if source.key is not None:
        more["key_hex"] = source.key.hex()
    if plan.feeders > 1:
        more["service_point"] = f"S-{source.meter}"
        await headend.add_service_point(more["service_point"], feeder=f"feeder-{source.feeder}")
    await headend.register_meter(source.meter, source.profile.spec.name, **more)


async def _abreast(calls: Iterator[Coroutine[Any, Any, None]]) -> None:
    """All of them, some at a time."""

    async def lane() -> None:
        for call in calls:
            await call

    async with asyncio.TaskGroup() as tasks:
        for number in range(_AT_ONCE):
            tasks.create_task(lane(), name=f"register-{number}")
