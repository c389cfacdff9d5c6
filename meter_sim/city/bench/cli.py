"""`ohmesh bench mesh`: events a second of CPU, memory a node. The only clock of the city."""

from __future__ import annotations

import gc
import json
import multiprocessing
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from meter_sim.city.bench.compiled import compile_copy
from meter_sim.city.bench.load import Load, form, joint_digest
from meter_sim.city.build import MINUTE_US, SECOND_US, Radio, build_city
from meter_sim.city.profiles import LIMITS, profile_named
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.city.bench.load import Part

_EXAMPLE = "example: ohmesh bench mesh --nodes 200 --json"


def run_bench(load: Load, jobs: int = 1) -> dict[str, float | str | None]:
    """Form a city, then measure some minutes of reports; each shard in its turn.

    Args: load: the city; jobs: processes for its shards.

    Returns:
        nodes, radio, events, events_per_s (of CPU), cpu_s, sim_seconds_per_wall_second,
        bytes_per_node (of all Python and numpy objects of a formed city), links, digest of the run;
        shards, halo_share (played beside the city's own meters, a share of these), joined_share,
        pdr_15min of all meters, null in short runs, rss_mib of the largest process, wall_s of all.
    """
    began_s = time.perf_counter()
    parts = list(_parts(load, jobs))
    events, cpu_s = sum(part.events for part in parts), sum(part.cpu_s for part in parts)
    wall_s = sum(part.wall_s for part in parts) / min(jobs, len(parts))
    own, made = sum(part.own for part in parts), sum(part.made for part in parts)
    return {
        "nodes": load.nodes,
        "radio": load.radio.value,
        "events": events,
        "events_per_s": round(events / cpu_s),
        "cpu_s": round(cpu_s, 2),
        "sim_seconds_per_wall_second": round(load.minutes * 60 / wall_s, 1),
        "bytes_per_node": _bytes_per_node(load),
        "links": sum(part.links for part in parts),
        "digest": joint_digest(parts),
        "shards": load.shards,
        "halo_share": round(sum(part.meters for part in parts) / own - 1, 3),
        "joined_share": round(sum(part.joined for part in parts) / own, 5),
        "pdr_15min": round(sum(part.in_time for part in parts) / made, 6) if made else None,
        "rss_mib": max(part.rss_mib for part in parts),
        "wall_s": round(time.perf_counter() - began_s, 1),
    }


def run_part(load: Load) -> Part:
    """Form a city, or a shard, then measure some minutes of reports."""
    formed = form(load)
    world = formed.city.world
    gc.collect()
    gc.freeze()
    before, cpu_s, wall_s = world.events, time.process_time(), time.perf_counter()
    world.run(world.now_us + load.minutes * MINUTE_US)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    gc.unfreeze()
    return formed.part(load, world.events - before, cpu_s=cpu_s, wall_s=wall_s)


def _parts(load: Load, jobs: int) -> Iterator[Part]:
    """The shards in their order, one after another or in fresh processes."""
    loads = [replace(load, shard=number) for number in range(load.shards)]
    if load.shards == 1:
        yield run_part(load)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, max_tasks_per_child=1) as pool:
        yield from pool.map(run_part, loads)


def _bytes_per_node(load: Load) -> int:
    """What a city holds after a minute of forming, in a second run: tracing halves the speed."""
    tracemalloc.start()
    try:
        streets = profile_named(load.profile)
        city = build_city(streets, min(load.nodes, 500), load.seed, radio=load.radio)
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
    parser.add_argument(
        "--shards", type=int, default=1, help="parts that run apart, default %(default)s"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes for shards, default 1")
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
    profile_named(options.profile)
    nodes, minutes = (60, 10) if options.quick else (options.nodes, options.minutes)
    radio = Radio(options.radio)
    load = Load(options.profile, nodes, options.seed, minutes, radio, options.shards)
    figures = run_bench(load, options.jobs)
    if not options.json:
        print(LIMITS)
    print(json.dumps(figures))
    return 0
