"""Who is there, told to the head-end before a fed scenario begins, or later."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meter_sim.demo.client import HeadEnd
    from meter_sim.scenario.model import Fleet
    from meter_sim.scenario.sources import Source

CURRENCY, TARIFF, PRICE_MU = "EUR", "prepaid", 30_000


def account_of(source: Source) -> str:
    """The name of a prepaying customer's account."""
    return f"A-{source.meter}"


async def introduce(
    headend: HeadEnd, plan: Fleet, gateways: Iterable[str], sources: list[Source]
) -> None:
    """Gateways, meters with their place on the grid, accounts. May be repeated."""
    for gateway in gateways:
        await headend.register_gateway(gateway)
    await headend.import_meters([_line(plan, source) for source in sources])
    begin = plan.start.astimezone(UTC).isoformat()
    prepaid = [s for s in sources if s.prepaid]
    if prepaid:
        await headend.add_tariff(TARIFF, CURRENCY, PRICE_MU, None)
    for source in prepaid:
        await headend.open_tariff_account(account_of(source), source.meter, TARIFF, begin)


def _line(plan: Fleet, source: Source) -> dict[str, object]:
    """A line of the file of meters; a street with several feeders says who hangs where."""
    line: dict[str, object] = {
        "meter": source.meter,
        "profile": source.profile.spec.name,
        "interval_s": plan.interval_s,
        "key_hex": "" if source.key is None else source.key.hex(),
    }
    if plan.feeders > 1:
        line |= {"service_point": f"S-{source.meter}", "feeder": f"feeder-{source.feeder}"}
    return line
