"""Judge an outcome by a scenario's expectations. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.scenario.outcome import counts_of

if TYPE_CHECKING:
    from meter_sim.scenario.model import Expect, Scenario
    from meter_sim.scenario.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """One expectation.

    Attributes:
        text: what was expected.
        got: the fact's value; None when the run does not know it.
        passed: it held.
    """

    text: str
    got: float | None
    passed: bool


def judge(scenario: Scenario, outcome: Outcome) -> list[Verdict]:
    """A verdict for each expectation, in the file's order."""
    return [_one(expect, outcome.facts) for expect in scenario.expect]


def _one(expect: Expect, facts: dict[str, float]) -> Verdict:
    got = facts.get(expect.fact, 0 if counts_of(expect.fact) in facts else None)
    low, high, text = _bounds(expect, facts)
    known = got is not None and low is not None and high is not None
    passed = known and low <= got <= high  # type: ignore[operator]  # none is None when known
    return Verdict(text, got, passed)


def _bounds(expect: Expect, facts: dict[str, float]) -> tuple[float | None, float | None, str]:
    if isinstance(expect.equals, str):
        wanted = facts.get(expect.equals)
        return wanted, wanted, f"{expect.fact} = {expect.equals} ({_number(wanted)})"
    if expect.equals is not None:
        return expect.equals, expect.equals, f"{expect.fact} = {_number(expect.equals)}"
    low = float("-inf") if expect.min is None else expect.min
    high = float("inf") if expect.max is None else expect.max
    parts = [expect.fact]
    if expect.min is not None:
        parts.append(f">= {_number(expect.min)}")
    if expect.max is not None:
        parts.append(f"<= {_number(expect.max)}")
    return low, high, " ".join(parts)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
