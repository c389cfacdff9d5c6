"""docs/reliability.md: every promise names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
LINES = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [A-Z]\d+ \|", line)
]
_REFERENCE = re.compile(r"`([a-z_0-9/]*\.py)?::(test_\w+)`")


def _named(cells):
    """(file, test) of each reference; one without a file is in that of the one before."""
    found, file = [], ""
    for name, test in _REFERENCE.findall(" ".join(cells)):
        file = name or file
        found.append((file, test))
    return found


def _path(name):
    for folder in (TESTS / "integration", TESTS):
        if (folder / name).is_file():
            return folder / name
    raise AssertionError(f"{name} is no file of tests")


@pytest.mark.parametrize("cells", LINES, ids=[cells[0] for cells in LINES])
def test_the_tests_of_a_promise_are_there(cells):
    assert len(cells) == 6
    *_, soak, _tests, still_open = cells
    named = _named(cells)
    assert named or still_open or cells[0] == "S9", "neither a proof nor a word why there is none"
    marks = []
    for name, test in named:
        functions = {
            node.name: ast.unparse(node)
            for node in ast.parse(_path(name).read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert test in functions, f"{name} has no {test}"
        marks.append("mark.soak" in functions[test])
    assert not soak or any(marks), "a longer run is promised and no test is marked so"


def test_every_promise_stands_once():
    ids = [cells[0] for cells in LINES]
    assert len(ids) == len(set(ids)) > 50
