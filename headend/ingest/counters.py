"""Decode telegrams one after the other, with the counter that each has to exceed. Pure.

A meter that encrypts by its market's standard counts its messages up. A telegram whose counter is
not above the highest taken so far is a replay: it goes to quarantine as `decode:replay` and changes
nothing. Telegrams that waited in quarantine are older than what came since; for them the exact
record of the counters taken decides (`effects.collect`), so that none of them is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headend.ingest.decode import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headend.ingest.decode import Meter, Outcome
    from headend.ingest.effects import Item


def decode_arrived(items: Iterable[Item]) -> list[tuple[Item, Outcome]]:
    """What telegrams say, in their order; each meter's counters rise through them."""
    floors: dict[int, int] = {}
    decoded = []
    for item in items:
        meter = item.meter and _above(item.meter, floors.get(item.meter.id))
        outcome = decode(item.telegram, meter)
        if meter is not None and outcome.counter is not None and outcome.reason is None:
            floors[meter.id] = outcome.counter
        decoded.append((item, outcome))
    return decoded


def decode_waited(items: Iterable[Item]) -> list[tuple[Item, Outcome]]:
    """What telegrams from quarantine say; no counter is too low for them."""
    return [(item, decode(item.telegram, item.meter and _anyhow(item.meter))) for item in items]


def _above(meter: Meter, counter: int | None) -> Meter:
    """The meter with a higher floor."""
    if meter.market_keys is None or counter is None:
        return meter
    return replace(meter, market_keys=replace(meter.market_keys, counter_floor=counter))


def _anyhow(meter: Meter) -> Meter:
    if meter.market_keys is None:
        return meter
    return replace(meter, market_keys=replace(meter.market_keys, counter_floor=None))
