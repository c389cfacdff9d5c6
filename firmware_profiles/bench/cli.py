"""`ohmesh bench decode`: CPU time of a telegram, for each standard, beside other decoders."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_profiles.bench import oracles, report
from firmware_profiles.bench.timing import Effort, lines_of, timed
from firmware_profiles.records import RecordError
from ohmesh.usage import Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from firmware_profiles.bench.timing import Timed

_FULL, _QUICK = Effort(rounds=7, round_s=0.004), Effort(rounds=3, round_s=0.002)
_SHARED = Path(__file__).resolve().parents[3] / "shared" / "telegrams"
"""Captured telegrams beside a checkout; without them the samples in the package are measured."""
_WRONG_USE = 2


def main(argv: Sequence[str]) -> int:
    """Measure; the last line is one JSON object. Returns the exit code."""
    options = _parser().parse_args(argv)
    effort = _QUICK if options.quick else _FULL
    try:
        telegrams = list(timed(lines_of(options.files or _default_files()), effort))
    except (OSError, ValueError, RecordError) as error:
        print(f"ohmesh bench decode: {error}", file=sys.stderr)
        return _WRONG_USE
    table = report.rows(telegrams, _oracle_times(telegrams, effort))
    if not options.json:
        print(report.as_text(table))
    print(json.dumps({"standards": {name: row.as_json() for name, row in table.items()}}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ohmesh bench decode",
        description=__doc__,
        epilog="example: ohmesh bench decode --quick --json",
    )
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    parser.add_argument("--quick", action="store_true", help="less than 30 s, a little less exact")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        help="telegrams, a JSON object a line (default: captured ones where they are, or samples)",
    )
    return parser


def _default_files() -> list[Path]:
    captured = sorted(_SHARED.glob("*.jsonl"))
    return captured or [Path(str(files("firmware_profiles.samples").joinpath("telegrams.jsonl")))]


def _oracle_times(telegrams: Sequence[Timed], effort: Effort) -> list[oracles.Times]:
    """The libraries' times; none, and a word on stderr, where they cannot be measured."""
    try:
        python = oracles.interpreter()
        if python is not None:
            return oracles.times(python, telegrams, effort)
        print("no oracles: they are measured in a checkout only", file=sys.stderr)
    except oracles.OracleError as error:
        print(f"ohmesh bench decode: {error}", file=sys.stderr)
    return [{} for _ in telegrams]
