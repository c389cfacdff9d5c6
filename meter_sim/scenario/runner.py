"""One scenario from its file to its verdicts, whoever drives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from meter_sim.roster import Roster, RosterGateway
from meter_sim.scenario.expect import judge
from meter_sim.scenario.feed import Feed
from meter_sim.scenario.model import Driver

if TYPE_CHECKING:
    from pathlib import Path

    from meter_sim.capture.writer import CaptureWriter
    from meter_sim.scenario.expect import Verdict
    from meter_sim.scenario.model import Scenario
    from meter_sim.scenario.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """A run and what is thought of it."""

    scenario: Scenario
    outcome: Outcome
    verdicts: list[Verdict]

    @property
    def passed(self) -> bool:
        """Every expectation held."""
        return all(verdict.passed for verdict in self.verdicts)


def run_scenario(
    scenario: Scenario, *, folder: Path, capture: CaptureWriter | None = None
) -> Result:
    """Run and judge.

    Args:
        scenario: what to run.
        folder: where relative paths of curves begin.
        capture: gets the telegrams that the meters sent (`feed`).

    Raises:
        OhmeshError: it did not come to its end.
        ServerError: a server did not start.
    """
    scenario = _dated(scenario, datetime.now(UTC))
    outcome = _drive(scenario, folder, capture)
    return Result(scenario, outcome, judge(scenario, outcome))


def _dated(scenario: Scenario, now: datetime) -> Scenario:
    """The scenario with its beginning on the calendar."""
    days = scenario.fleet.days_ago
    if days is None:
        return scenario
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    return replace(scenario, fleet=replace(scenario.fleet, start=start))


def _drive(scenario: Scenario, folder: Path, capture: CaptureWriter | None) -> Outcome:
    if scenario.driver is Driver.FEED:
        return Feed(scenario, gateways_of(scenario), folder, capture).run()
    if scenario.driver is Driver.STREET:
        from meter_sim.scenario.street_run import run_street  # noqa: PLC0415 - start lean

        return run_street(scenario)
    if scenario.driver is Driver.KEYPAD:
        from meter_sim.scenario.keypad_run import run_keypad  # noqa: PLC0415 - start lean

        return run_keypad(scenario)
    from meter_sim.scenario.stack_run import run_stack  # noqa: PLC0415 - start lean

    return run_stack(scenario)


def gateways_of(scenario: Scenario) -> Roster:
    """A roster of gateways alone: fed meters need no place on a street."""
    plan = scenario.fleet
    return Roster(
        net=1,
        seed=scenario.seed,
        start=plan.start,
        interval_s=plan.interval_s,
        calendar_speed=plan.calendar_speed,
        timer_divisor=plan.timer_divisor,
        gateways=[RosterGateway(f"gw{n}", n, 0, 0) for n in range(1, plan.gateways + 1)],
        meters=[],
    )
