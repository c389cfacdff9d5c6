"""`ohmesh bench mesh`: events a second of CPU, memory a node. The only clock of the city."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from meter_sim.city.bench.compiled import compile_copy
from meter_sim.city.build import MINUTE_US, SECOND_US, Radio, build_city
from meter_sim.city.profiles import LIMITS, profile_named
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from meter_sim.city.profiles import CityProfile

_EXAMPLE = "example: ohmesh bench mesh --nodes 200 --json"
_FORMING_MINUTES, _SETTLING_MINUTES = 30, 30


def run_bench(
    profile: CityProfile, nodes: int, *, seed: int, minutes: int, radio: Radio
) -> dict[str, float | str]:
    """Form a city, then measure some minutes of reports.

    Returns:
        nodes, radio, events, events_per_s (of CPU), cpu_s, sim_seconds_per_wall_second,
        bytes_per_node (of all Python and numpy objects of a formed city), links, digest of the run.
    """
    city = build_city(profile, nodes, seed, radio=radio)
    world = city.world
    world.boot_all(_FORMING_MINUTES * MINUTE_US)
    world.run((_FORMING_MINUTES + _SETTLING_MINUTES) * MINUTE_US)
    world.start_reports()
    gc.collect()
    gc.freeze()
    before, cpu_s, wall_s = world.events, time.process_time(), time.perf_counter()
    world.run(world.now_us + minutes * MINUTE_US)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    gc.unfreeze()
    events = world.events - before
    return {
        "nodes": nodes,
        "radio": radio.value,
        "events": events,
        "events_per_s": round(events / cpu_s),
        "cpu_s": round(cpu_s, 2),
        "sim_seconds_per_wall_second": round(minutes * MINUTE_US / SECOND_US / wall_s, 1),
        "bytes_per_node": _bytes_per_node(profile, nodes, seed, radio),
        "links": len(city.links.receiver),
        "digest": world.digest,
    }


def _bytes_per_node(profile: CityProfile, nodes: int, seed: int, radio: Radio) -> int:
    """What a city holds after a minute of forming, in a second run: tracing halves the speed."""
    tracemalloc.start()
    try:
        city = build_city(profile, min(nodes, 500), seed, radio=radio)
        city.world.boot_all(30 * SECOND_US)
        city.world.run(MINUTE_US)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        return held // len(city.layout)
    finally:
        tracemalloc.stop()


def _compile(target: Path) -> int:
    try:
        compile_copy(target)
    except FileExistsError:
        print(f"{target} is there already: name a directory that is not", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"mypyc ended with {error.returncode}; what it lacks is said above", file=sys.stderr)
        return 1
    print(json.dumps({"compiled": str(target)}))
    return 0


def main(argv: list[str]) -> int:
    """`ohmesh bench mesh`: how fast the simulator is on this machine."""
    parser = Parser(
        prog="ohmesh bench mesh",
        description="Run a city that reports every 15 min and count events a second of CPU.",
        epilog=_EXAMPLE,
    )
    parser.add_argument("--nodes", type=int, default=200, help="meters, default %(default)s")
    parser.add_argument("--minutes", type=int, default=30, help="simulated, default %(default)s")
    parser.add_argument("--profile", default="suburb-mid", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument(
        "--radio", choices=("exact", "fused"), default="fused", help="default %(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="60 meters, 10 minutes")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    parser.add_argument(
        "--compile",
        type=Path,
        metavar="DIR",
        help="make a compiled copy in DIR and end; then PYTHONPATH=DIR ohmesh ...",
    )
    options = parser.parse_args(argv)
    if options.compile is not None:
        return _compile(options.compile.resolve())
    streets = profile_named(options.profile)
    nodes, minutes = (60, 10) if options.quick else (options.nodes, options.minutes)
    radio = Radio(options.radio)
    figures = run_bench(streets, nodes, seed=options.seed, minutes=minutes, radio=radio)
    if not options.json:
        print(LIMITS)
    print(json.dumps(figures))
    return 0
