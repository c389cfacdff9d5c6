"""`ohmesh sim experiment`: the experiments on the command line."""

from __future__ import annotations

import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from meter_sim.city.build import MINUTE_US, Radio
from meter_sim.city.experiments.catalogue import CATALOGUE, experiment_named, over_seeds
from meter_sim.city.experiments.stage import Plan
from meter_sim.city.profiles import LIMITS, profile_named
from meter_sim.city.report.page import render
from meter_sim.city.report.story import Fault, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from meter_sim.city.experiments.catalogue import Experiment
    from meter_sim.city.experiments.measure import Measure, Summary
    from meter_sim.city.world import World


def run_experiments(options: argparse.Namespace) -> int:
    """`ohmesh sim experiment`: 0 when every headline meets its target, 1 otherwise."""
    profile_named(options.profile)
    if options.name == "all":
        chosen = [experiment for experiment in CATALOGUE.values() if experiment.virtual]
    else:
        chosen = [experiment_named(options.name)]
    first = Plan(
        options.profile,
        options.nodes,
        options.first_seed,
        quick=options.quick,
        radio=Radio(options.radio) if options.radio else None,
        weather=options.weather,
    )
    headlines = [_one(experiment, first, options) for experiment in chosen]
    if options.name == "all":
        names = [experiment.name for experiment in chosen]
        _say(_all(first, dict(zip(names, headlines, strict=True)), options), options)
    return 1 if any(headline.passed is False for headline in headlines) else 0


def _one(experiment: Experiment, first: Plan, options: argparse.Namespace) -> Summary:
    plans = [replace(first, seed=first.seed + n) for n in range(options.seeds)]
    summaries = over_seeds(_shown(experiment, plans, options.jobs))
    if options.json is None:
        for summary in summaries:
            print(_line(experiment.name, summary))
        print(LIMITS)
    line = _json(experiment.name, first, options.seeds, summaries)
    if options.name != "all":
        _say(line, options)
    elif options.json is None:
        print(line)
    return summaries[0]


def _say(line: str, options: argparse.Namespace) -> None:
    """The last line, and in its file where one is named."""
    print(line)
    if options.json:
        Path(options.json).write_text(line + "\n", encoding="utf-8")


def _runs(experiment: Experiment, plans: list[Plan], jobs: int) -> Iterator[list[Measure]]:
    """A run a seed, one after another or in processes of their own."""
    if jobs == 1:
        yield from map(experiment.run, plans)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(plans)), mp_context=fresh) as pool:
        yield from pool.map(experiment.run, plans)


def _shown(experiment: Experiment, plans: list[Plan], jobs: int) -> Iterator[list[Measure]]:
    """The runs; on a terminal with a bar of the seeds and the simulated time of this one."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _runs(experiment, plans, jobs)
        return
    title = f"{experiment.name} {experiment.title}"
    with Progress(console=console) as progress:
        bar = progress.add_task(title, total=len(plans))

        def tell(world: World) -> None:
            minutes = world.now_us // MINUTE_US
            progress.update(bar, description=f"{title}, {minutes // 60} h {minutes % 60:02} min")

        # A watcher stays in its process: where others run the seeds, only the seeds are counted.
        watched = [replace(plan, watch=tell) for plan in plans] if jobs == 1 else plans
        for measures in _runs(experiment, watched, jobs):
            progress.advance(bar)
            yield measures


def _line(name: str, summary: Summary) -> str:
    verdict = {True: "pass", False: "FAIL", None: "nothing to measure"}[summary.passed]
    return (
        f"{name:4} {summary.metric:24} {summary.value:10.5g} "
        f"[{summary.low:.5g}, {summary.high:.5g}] limit {summary.limit:.5g} "
        f"target {summary.target:.5g} {verdict}"
    )


def _json(name: str, plan: Plan, seeds: int, summaries: list[Summary]) -> str:
    """The last line: the headline's fields, and all metrics beside them."""
    head = {"experiment": name, "profile": plan.profile, "nodes": plan.nodes, "seeds": seeds}
    return json.dumps(
        head | _fields(summaries[0]) | {"metrics": [_fields(summary) for summary in summaries]}
    )


def _fields(summary: Summary) -> dict[str, object]:
    return {
        "metric": summary.metric,
        "value": _finite(summary.value),
        "low": _finite(summary.low),
        "high": _finite(summary.high),
        "limit": _finite(summary.limit),
        "target": _finite(summary.target),
        "pass": summary.passed,
        "values": [_finite(value) for value in summary.values],
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity: what did not happen, or was not there to be measured, is null."""
    return round(value, 6) if math.isfinite(value) else None


def _all(plan: Plan, headlines: dict[str, Summary], options: argparse.Namespace) -> str:
    passed = float(sum(headline.passed is True for headline in headlines.values()))
    total = float(len(headlines))
    head = {"experiment": "all", "profile": plan.profile, "nodes": plan.nodes}
    verdict = {
        "seeds": options.seeds,
        "metric": "headlines_passed",
        "value": passed,
        "low": passed,
        "high": passed,
        "limit": total,
        "target": total,
        "pass": passed == total,
        "experiments": {name: _fields(headline) for name, headline in headlines.items()},
    }
    return json.dumps(head | verdict)


def write_report(options: argparse.Namespace) -> int:
    """`ohmesh sim report`: one story, one page."""
    profile_named(options.profile)
    plan = Plan(
        options.profile,
        options.nodes,
        options.seed,
        radio=Radio(options.radio) if options.radio else None,
        weather=options.weather,
    )
    console = Console(stderr=True)
    with console.status("forming") as status:
        story = tell(plan, Fault(options.fault), status.update)
    options.out.write_text(render(story), encoding="utf-8")
    print(f"wrote {options.out}: {story.affected} affected, {story.unhealed} not back in 5 min")
    return 0
