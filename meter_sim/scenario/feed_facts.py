"""Facts that are computed from readings: what the store says, against what was simulated. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from meter_sim.scenario.sources import ELECTRICITY, WATER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from meter_sim.scenario.outcome import Key
    from meter_sim.scenario.sources import Source

_EXPORT = "el.energy.export"
_IDLE_WH_PER_DAY = 300
_HOUR = timedelta(hours=1)
_STILL_M3 = Decimal("0.002")
_Series = dict[tuple[str, str], dict["datetime", Decimal]]


def _series(readings: Mapping[Key, Decimal]) -> _Series:
    """(meter, channel) -> values by time."""
    series: _Series = defaultdict(dict)
    for (meter, channel, time), value in readings.items():
        series[meter, channel][time] = value
    return series


def _advance(values: Mapping[datetime, Decimal] | None) -> Decimal:
    return values[max(values)] - values[min(values)] if values else Decimal(0)


def of_energy(
    sources: Iterable[Source], expected: Mapping[Key, set[Decimal]], got: Mapping[Key, Decimal]
) -> dict[str, float]:
    """Energy counted, stored, lost between feeders and customers; who is idle, what never stops."""
    said = _series({key: min(values) for key, values in expected.items()})
    stored = _series(got)
    sources = list(sources)
    net = {s.meter: _net(stored, s.meter) for s in sources}
    feeders = sum((net[s.meter] for s in sources if s.is_feeder), Decimal(0))
    customers = sum((net[s.meter] for s in sources if not s.is_feeder), Decimal(0))
    facts: dict[str, float] = {
        "energy_expected_wh": float(_sum(said, ELECTRICITY)),
        "energy_stored_wh": float(_sum(stored, ELECTRICITY)),
        "idle_meters": sum(_is_idle(stored.get((s.meter, ELECTRICITY))) for s in sources),
        "water_never_still": sum(_never_still(stored.get((s.meter, WATER))) for s in sources),
    }
    if feeders:
        facts["feeder_loss_percent"] = round(float((feeders - customers) / feeders * 100), 4)
        facts["theft_percent"] = round(_theft_percent(sources), 4)
    return facts


def _net(series: _Series, meter: str) -> Decimal:
    return _advance(series.get((meter, ELECTRICITY))) - _advance(series.get((meter, _EXPORT)))


def _sum(series: _Series, channel: str) -> Decimal:
    return sum((_advance(v) for (_, c), v in series.items() if c == channel), Decimal(0))


def _is_idle(values: Mapping[datetime, Decimal] | None) -> bool:
    if not values:
        return False
    days = Decimal((max(values) - min(values)) / timedelta(days=1))
    return days > 0 and _advance(values) / days < _IDLE_WH_PER_DAY


def _never_still(values: Mapping[datetime, Decimal] | None) -> bool:
    """No hour in which the counter moved by less than its resolution shows."""
    if not values:
        return False
    hours = [t for t in sorted(values) if t.minute == 0 and t - _HOUR in values]
    return bool(hours) and all(values[t] - values[t - _HOUR] >= _STILL_M3 for t in hours)


def _theft_percent(sources: list[Source]) -> float:
    """Energy past the meters, of all that feeders delivered, from the counters themselves."""
    feeders = [s.registers for s in sources if s.is_feeder]
    customers = [s.registers for s in sources if not s.is_feeder]
    delivered = sum(r.import_wms - r.export_wms for r in feeders)
    begun = sum(s.first_wms for s in sources if not s.is_feeder)
    counted = sum(r.import_wms - r.export_wms for r in customers) - begun
    return (delivered - counted) / delivered * 100 if delivered else 0.0


def of_days(sources: Iterable[Source], got: Mapping[Key, Decimal]) -> dict[str, float]:
    """Readings by local day of one meter: 92, 96 or 100 quarter-hours."""
    first = next(iter(sources))
    zone = ZoneInfo(first.profile.spec.zone)
    days: Counter[date] = Counter()
    for meter, channel, time in got:
        if meter == first.meter and channel == ELECTRICITY:
            days[(time - timedelta(seconds=1)).astimezone(zone).date()] += 1
    whole = [days[day] for day in sorted(days)[1:-1]] or list(days.values()) or [0]
    return {
        "days_local": len(days),
        "readings_longest_day": max(whole),
        "readings_shortest_day": min(whole),
    }


def cost_mu(
    sources: Iterable[Source],
    expected: Mapping[Key, set[Decimal]],
    prices: list[tuple[int, int]],
) -> int:
    """What the energy of prepaid meters costs: each interval at the price in force at its end.

    Args:
        sources: their meters; counting begins at what they showed at the start.
        expected: what they said, in Wh.
        prices: (from milliseconds since 1970, mu per kWh), by time.

    Returns:
        Whole mu, rounded down for each account.
    """
    total = 0
    said = _series({key: min(values) for key, values in expected.items()})
    for source in sources:
        values = said.get((source.meter, ELECTRICITY), {})
        milli, before = Decimal(0), None
        for time in sorted(values):
            if before is not None:
                milli += (values[time] - before) * _price(prices, time)
            before = values[time]
        total += int(milli // 1000)
    return total


def _price(prices: list[tuple[int, int]], end: datetime) -> int:
    """The price of the interval that ends then: the one that was in force before its end."""
    end_ms = round(end.timestamp() * 1000)
    return [price for from_ms, price in prices if from_ms < end_ms][-1]
