"""A run as JSON and as JUnit XML; both lead with the first difference."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meter_sim.scenario.outcome import Difference
    from meter_sim.scenario.runner import Result


def commit() -> str:
    """The commit of the checkout that this program runs from; the version without one."""
    argv = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return version("ohmesh")
    return done.stdout.strip() or version("ohmesh")


def as_dict(result: Result, made_from: str) -> dict[str, Any]:
    """Everything but the readings. Args: made_from: commit or version."""
    scenario, outcome = result.scenario, result.outcome
    return {
        "scenario": scenario.name,
        "proves": scenario.proves,
        "driver": scenario.driver.value,
        "seed": scenario.seed,
        "commit": made_from,
        "passed": sum(verdict.passed for verdict in result.verdicts),
        "failed": sum(not verdict.passed for verdict in result.verdicts),
        "first_difference": first_difference(outcome.differences),
        "verdicts": [
            {"expected": v.text, "got": v.got, "passed": v.passed} for v in result.verdicts
        ],
        "facts": outcome.facts,
        "telegrams_sha256": outcome.digest,
        "differences": [difference_dict(one) for one in outcome.differences],
        "timeline": [
            {"what": one.what, "from_s": one.from_s, "to_s": one.to_s} for one in outcome.timeline
        ],
        "notes": outcome.notes,
    }


def difference_dict(one: Difference) -> dict[str, Any]:
    """A difference as JSON."""
    meter, channel, time = one.record
    return {
        "meter": meter,
        "channel": channel,
        "time": time.isoformat(),
        "expected": one.expected,
        "got": one.got,
        "way": list(one.way),
    }


def first_difference(differences: list[Difference]) -> dict[str, Any] | None:
    """The first one by time; None when there is none."""
    return difference_dict(differences[0]) if differences else None


def as_junit(results: Iterable[Result], made_from: str) -> bytes:
    """A test suite a scenario, a test case an expectation; seed and commit are properties."""
    suites = ET.Element("testsuites")
    for result in results:
        suites.append(_suite(result, made_from))
    ET.indent(suites)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites)


def _suite(result: Result, made_from: str) -> ET.Element:
    scenario, outcome = result.scenario, result.outcome
    failed = sum(not verdict.passed for verdict in result.verdicts)
    seconds = f"{outcome.facts.get('seconds', 0.0):.3f}"
    suite = ET.Element(
        "testsuite",
        name=scenario.name,
        tests=str(len(result.verdicts)),
        failures=str(failed),
        errors="0",
        time=seconds,
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("seed", str(scenario.seed)),
        ("commit", made_from),
        ("driver", scenario.driver.value),
        ("telegrams_sha256", outcome.digest),
    ):
        ET.SubElement(properties, "property", name=name, value=value)
    for verdict in result.verdicts:
        case = ET.SubElement(
            suite, "testcase", classname=f"ohmesh.{scenario.name}", name=verdict.text, time="0"
        )
        if not verdict.passed:
            failure = ET.SubElement(case, "failure", message=f"got {verdict.got}")
            failure.text = explanation(result)
    return suite


def explanation(result: Result) -> str:
    """The first difference, and how to see it again."""
    scenario, differences = result.scenario, result.outcome.differences
    first = f"first difference: {differences[0].title}\n" if differences else ""
    return f"{first}again: ohmesh sim run {scenario.name} --seed {scenario.seed}"
