"""The experiments by name, and how one is run over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.city.experiments.ablations import ablations
from meter_sim.city.experiments.attack import attack
from meter_sim.city.experiments.faults import any_one_node, gateway_loss, loop_audit, tenth_at_once
from meter_sim.city.experiments.measure import Measure, Summary, summarise
from meter_sim.city.experiments.on_broker import on_a_broker
from meter_sim.city.experiments.orders import commands
from meter_sim.city.experiments.scale import scale
from meter_sim.city.experiments.start import cold_start, gateway_reboot
from meter_sim.city.experiments.steady import overhead, path_quality, reading_success
from meter_sim.city.experiments.storms import (
    flapping_links,
    noise_burst,
    outages,
    trunk_and_trench,
)
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meter_sim.city.experiments.stage import Plan


@dataclass(frozen=True, slots=True)
class Experiment:
    """One line of the table of experiments. The first metric it returns is its headline.

    On virtual time unless it says so: what needs servers and minutes of the clock is not in `all`.
    """

    name: str
    title: str
    run: Callable[[Plan], list[Measure]]
    virtual: bool = True


CATALOGUE = {
    experiment.name: experiment
    for experiment in (
        Experiment("E1", "reading success", reading_success),
        Experiment("E2", "path quality", path_quality),
        Experiment("E3", "cold start", cold_start),
        Experiment("E4", "any one node dies", any_one_node),
        Experiment("E5", "a tenth dies at once", tenth_at_once),
        Experiment("E6", "the trunk dies, a trench parts the city", trunk_and_trench),
        Experiment("E7", "a gateway dies", gateway_loss),
        Experiment("E8", "a gateway boots again", gateway_reboot),
        Experiment("E9", "links that flap", flapping_links),
        Experiment("E10", "outages roll through", outages),
        Experiment("E11", "a burst of noise", noise_burst),
        Experiment("E12", "commands", commands),
        Experiment("E13", "overhead", overhead),
        Experiment("E14", "an attacker in the street", attack),
        Experiment("E15", "loops", loop_audit),
        Experiment("E16", "a larger city", scale),
        Experiment("E17", "on a real broker", on_a_broker, virtual=False),
        Experiment("E18", "without one feature", ablations),
    )
}


def experiment_named(name: str) -> Experiment:
    """The experiment of a name. Raises ConfigError."""
    if name not in CATALOGUE:
        raise ConfigError(f"there is no experiment {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def over_seeds(runs: Iterable[list[Measure]]) -> list[Summary]:
    """The figures of some runs of one experiment: a summary a metric."""
    return [summarise(measures) for measures in zip(*runs, strict=True)]
