"""`ohmesh check prepayment FILE.json`: a file of vectors against the product's own code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headend.check import prepayment, vectors
from ohmesh.model.errors import ConfigError
from ohmesh.tokens.sta import load_tables
from ohmesh.usage import Parser

if TYPE_CHECKING:
    import argparse

    from headend.check.vectors import GroupResult

_WRONG_USE = 2


def main(argv: list[str]) -> int:
    """Exit code: 0 all passed, 1 a failure, 2 wrong use."""
    options = _parser().parse_args(argv)
    try:
        groups = vectors.load(options.file)
        tables = None if options.sta_tables is None else load_tables(options.sta_tables)
    except ConfigError as error:
        print(f"ohmesh check prepayment: {error}", file=sys.stderr)
        return _WRONG_USE
    checks = prepayment.checks(tables)
    results = [vectors.judge(name, found, checks.get(name)) for name, found in groups.items()]
    for result in results:
        _show(result)
    print(json.dumps(_summary(results)))
    return 1 if any(result.failed for result in results) or not results else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ohmesh check prepayment",
        description="Run every group of a file of prepayment vectors.",
        epilog="example: ohmesh check prepayment vectors.json",
    )
    parser.add_argument("file", type=Path, metavar="FILE.json", help="prepayment-vectors/1")
    parser.add_argument(
        "--sta-tables", type=Path, metavar="FILE", help="production tables of a licensee, JSON"
    )
    return parser


def _show(result: GroupResult) -> None:
    print(f"{result.name:32} {result.passed:5} passed {result.failed:5} failed")
    if result.first_difference is not None:
        print(f"    {result.first_difference}")


def _summary(results: list[GroupResult]) -> dict[str, object]:
    return {
        "groups": {r.name: {"passed": r.passed, "failed": r.failed} for r in results},
        "passed": sum(r.passed for r in results),
        "failed": sum(r.failed for r in results),
    }
