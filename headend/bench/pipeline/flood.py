"""`ohmesh bench flood`: how long a gateway waits beside one that is mad but valid.

One gateway sends at an ordinary rate, another the same kind of batches at a hundred times that, or
as fast as the broker takes them, and looks at no acknowledgement. Quiet and flooded rounds take
turns, each with a database of its own.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headend.bench.pipeline.servers import ingest
from headend.bench.pipeline.story import QUICK, Home, made, traffic
from headend.bench.pipeline.traffic import Street
from headend.store import db

if TYPE_CHECKING:
    from headend.bench.pipeline.servers import Servers
    from headend.bench.pipeline.story import Sizes

_METERS = 100
"""Of each of the two gateways."""
_BATCH = 10
_BATCHES_PER_S = 10
_TIMES = 100
_AS_FAST_AS_IT_GOES = 1e9
_SECONDS, _SECONDS_QUICK = 12, 3
_ROUNDS, _ROUNDS_QUICK = 3, 1
_SETTINGS = {"INGEST__FLOOD_PER_MINUTE": str(_METERS * 10)}
"""An ordinary gateway's telegrams of one interval stand in one minute of its clock."""


def flood(place: Servers, sizes: Sizes, profile: str) -> dict[str, Any]:
    """The p99 from publish to acknowledgement, quiet and beside the flood."""
    quick = sizes.telegrams == QUICK.telegrams
    rounds, seconds = (_ROUNDS_QUICK, _SECONDS_QUICK) if quick else (_ROUNDS, _SECONDS)
    rates = {"quiet": 0.0, "times_100": _TIMES * _BATCHES_PER_S, "unbound": _AS_FAST_AS_IT_GOES}
    delays_ms: dict[str, list[float]] = {name: [] for name in rates}
    flooded: dict[str, list[int]] = {name: [] for name in rates}
    alarms = []
    for number in range(rounds):
        for name, per_s in rates.items():
            home, found, batches = _round(place, profile, f"{name}{number}", per_s, seconds)
            delays_ms[name] += found
            flooded[name].append(batches)
            alarms.append(_alarmed(home) == ({"gw1"} if per_s else set()))
    p99_ms = {name: statistics.quantiles(all_ms, n=100)[98] for name, all_ms in delays_ms.items()}
    return {
        "batches_per_s": _BATCHES_PER_S,
        "telegrams_a_batch": _BATCH,
        "acknowledged": {name: len(all_ms) for name, all_ms in delays_ms.items()},
        "flood_batches_per_s": {n: round(sum(b) / rounds / seconds) for n, b in flooded.items()},
        "p99_ms": {name: round(ms, 1) for name, ms in p99_ms.items()},
        "times_quiet": {n: round(ms / p99_ms["quiet"], 2) for n, ms in p99_ms.items()},
        "only_the_flooder_is_told_of": all(alarms),
    }


def _round(
    place: Servers, profile: str, name: str, flood_per_s: float, seconds: int
) -> tuple[Home, list[float], int]:
    """One round: its database, the ordinary gateway's delays, and the other's batches."""
    intervals = max(2, seconds * _BATCHES_PER_S * _BATCH // _METERS)
    street = Street(place.broker, profile, 10, 2, 2 * _METERS, intervals, _BATCH)
    mad = replace(street, meters=_TIMES * street.meters)
    home = made(place, name.replace("_", ""), mad)
    with ExitStack() as stack:
        stack.enter_context(ingest(home.config, _SETTINGS))
        other = stack.enter_context(traffic(mad)) if flood_per_s else None
        ordinary = stack.enter_context(traffic(street))
        if other:
            other.tell({"do": "flood", "batches_per_s": flood_per_s, "seconds": seconds + 1})
        ordinary.tell({"do": "pace", "batches_per_s": _BATCHES_PER_S})
        return home, ordinary.line()["delays_ms"], other.line()["batches"] if other else 0


def _alarmed(home: Home) -> set[str]:
    """Gateways of which a flood was told."""
    with db.connect(home.url, name="bench") as admin:
        rows = admin.execute(
            "select g.name from ohmesh.event e join ohmesh.gateway g on g.id = e.gateway_id"
            " where e.kind = 'gateway_flood'"
        ).fetchall()
    return {row["name"] for row in rows}
