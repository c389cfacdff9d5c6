"""What the docs tell people to type works: `sh run` blocks run, the others name real options."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from ohmesh import cli

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)( run)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"(?:^|`|\$ |[;&|] )(ohmesh(?: [a-z][a-z0-9-]*(?:\\?\|[a-z][a-z0-9-]*)*){1,3})([^`\n]*)",
    re.MULTILINE,
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MAKE = re.compile(r"^make (\w+)", re.MULTILINE)


def name(page):
    return page.relative_to(ROOT).as_posix()


def run(argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=150, **more)


def environment():
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def runnable(page):
    return "\n".join(body for _, run, body in FENCE.findall(page.read_text()) if run)


@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p)], ids=name)
def test_blocks_marked_run_do(page, tmp_path):
    (tmp_path / "firmware_profiles").symlink_to(ROOT / "firmware_profiles")
    done = run(["bash", "-euo", "pipefail", "-c", runnable(page)], cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def commands():
    """(command words, options) of every `ohmesh ...` in the docs, alternatives `a|b` spread out."""
    found = set()
    for page in PAGES:
        for words, rest in COMMAND.findall(page.read_text().replace("\\\n", " ")):
            options = tuple(sorted(set(re.findall(r"--[a-z][a-z-]*", rest))))
            *before, last = words.split()[1:]
            for choice in last.replace("\\", "").split("|"):
                found.add((*before, choice, options))
    return sorted(found, key=str)


@pytest.mark.parametrize("command", commands(), ids=lambda c: " ".join(c[:-1]))
def test_commands_and_options_exist(command):
    *words, options = command
    while words and not said_of(*words):
        words.pop()  # the last word may be an argument, such as a file or a name
    assert words, command
    assert [option for option in options if option not in said_of(*words)] == []


@cache
def said_of(*words):
    """What `ohmesh ... --help` prints; empty when there is no such command."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        try:
            code = cli.main([*words, "--help"])
        except SystemExit as end:
            code = end.code
    return out.getvalue() if code == 0 and "usage" in out.getvalue() else ""


SUBCOMMANDS = re.compile(r"^    ([a-z][a-z0-9-]*)(?: {2,}|$)", re.MULTILINE)


@pytest.mark.parametrize("word", ["headend", "gateway", "sim", "profiles"])
def test_the_readme_names_every_command(word):
    table = (ROOT / "README.md").read_text().replace("\\|", "|")
    told = {
        choice
        for first, choices in re.findall(r"`ohmesh (\w+) ([a-z0-9|-]+)", table)
        if first == word
        for choice in choices.split("|")
    }
    there = set(SUBCOMMANDS.findall(said_of(word)))
    assert len(there) > 4
    assert there - told == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


def test_the_readme_s_table_of_standards_is_the_page_s():
    page = (ROOT / "docs" / "standards.md").read_text()
    table = page[page.index("| standard |") :].split("\n\n")[0]
    assert table in (ROOT / "README.md").read_text()


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in MAKE.findall(page.read_text()):
            assert f"\n{target}:" in makefile, (name(page), target)


def test_the_ci_runs_the_readme_s_commands():
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make check" in ci
    assert "make test" in ci
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_demo_keeps_its_promises(tmp_path):
    """The whole command, smaller: its last line is the contract, its truth file is complete."""
    truth = tmp_path / "truth.jsonl"
    done = run(
        [sys.executable, "-m", "ohmesh", "demo", "--json", "--meters", "12", "--truth", str(truth)]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert done.stdout.count("\n") == 1
    contract = (
        "meters joined readings_expected readings_stored read_success duplicates_in_db heal_s"
        " first_reading_s cutoff_s restore_s telegrams_in telegrams_stored"
    )
    assert set(contract.split()) <= facts.keys()
    assert facts["joined"] == facts["meters"] == 12
    assert (
        facts["readings_stored"]
        == facts["readings_expected"]
        == len(truth.read_text().splitlines())
    )
    assert facts["duplicates_in_db"] == 0
    assert facts["telegrams_stored"] == facts["telegrams_in"] > 0
