"""Two runs or two captures side by side: what is the first thing that differs?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from meter_sim.capture.format import MAGIC
from meter_sim.capture.reader import CaptureReader
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meter_sim.capture.record import Record

_VOLATILE = frozenset({"seconds", "catch_up_s", "commit", "telegrams_refused"})
"""What differs between two runs that are the same: the speed of the machine."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One difference.

    Attributes:
        where: a fact, a record of a run, or the number of a record in a capture.
        first: what the first file has.
        second: what the second file has.
    """

    where: str
    first: str
    second: str


def compare_files(one: Path, two: Path) -> Iterator[Contrast]:
    """Differences in order; none when they are the same. Raises ConfigError, CaptureError."""
    kinds = {_is_capture(one), _is_capture(two)}
    if len(kinds) > 1:
        raise ConfigError(f"{one} and {two} are a capture and a report; compare like with like")
    return _captures(one, two) if kinds == {True} else _reports(one, two)


def _is_capture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _captures(one: Path, two: Path) -> Iterator[Contrast]:
    with CaptureReader(one) as first, CaptureReader(two) as second:
        pairs = zip_longest(first.records(), second.records())
        for number, (left, right) in enumerate(pairs):
            if left != right:
                yield Contrast(f"record {number}", _told(left), _told(right))


def _told(record: Record | None) -> str:
    if record is None:
        return "nothing"
    return f"{record.at_us} us {record.channel} {record.payload.hex()}"


def _reports(one: Path, two: Path) -> Iterator[Contrast]:
    first, second = _report(one), _report(two)
    for name in ("scenario", "driver", "seed", "telegrams_sha256"):
        yield from _pair(name, first.get(name), second.get(name))
    yield from _differences(first, second)
    facts = first.get("facts", {}), second.get("facts", {})
    for name in sorted({*facts[0], *facts[1]} - _VOLATILE):
        yield from _pair(f"fact {name}", facts[0].get(name), facts[1].get(name))


def _differences(first: dict[str, Any], second: dict[str, Any]) -> Iterator[Contrast]:
    """Records that are wrong in one run and not, or otherwise, in the other; by time."""
    left, right = _by_record(first), _by_record(second)
    for key in sorted({*left, *right}, key=lambda k: (k[2], k[0], k[1])):
        if left.get(key) != right.get(key):
            where = " ".join(key)
            yield Contrast(where, left.get(key, "as expected"), right.get(key, "as expected"))


def _by_record(report: dict[str, Any]) -> dict[tuple[str, str, str], str]:
    return {
        (d["meter"], d["channel"], d["time"]): f"{d['got']} for {d['expected']}"
        for d in report.get("differences", [])
    }


def _pair(name: str, left: object, right: object) -> Iterator[Contrast]:
    if left != right:
        yield Contrast(name, str(left), str(right))


def _report(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is neither a capture nor a run's JSON: {error}") from error
    if not isinstance(found, dict) or "scenario" not in found:
        raise ConfigError(f"{path} is no run's JSON; `ohmesh sim run NAME --json-file` writes one")
    return found
