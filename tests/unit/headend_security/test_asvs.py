"""docs/asvs.md: each line is held by tests that are there, or says that something is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/asvs.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]
LINES, GAPS = [row for row in ROWS if len(row) == 4], [row for row in ROWS if len(row) == 2]
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("row", LINES, ids=lambda row: row[0])
def test_a_line_is_held_by_tests_that_are_there(row):
    section, met, how, held = row
    assert met in {"yes", "partly", "**no**", "none"}
    assert how
    named = NAMED.findall(held)
    assert bool(named) == (met in {"yes", "partly"})
    for file, test in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        names = {
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert not test or test in names, f"{section}: no {test} in {file}"


def test_what_is_partly_met_is_told_and_most_is_met():
    gaps = {
        number.rpartition(".")[0] for row in GAPS for number in re.findall(r"\d+\.\d+\.\d", row[0])
    }
    gaps |= {row[0] for row in GAPS}
    for section, met, *_ in LINES:
        if met in {"partly", "**no**"}:
            numbers = set(re.findall(r"\d+\.\d+", section))
            assert numbers & gaps or met == "**no**", f"{section}: what is missing is not told"
    judged = [met for _, met, *_ in LINES if met != "none"]
    assert judged.count("yes") >= 0.7 * len(judged)
