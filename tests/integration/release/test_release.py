"""What a release is made of: the same twice, every part named, nothing that may not be in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LISTS = ROOT / "requirements"
# Psycopg and its pool are under the LGPL and stay replaceable libraries beside ours (ADR 0004).
LGPL_BY_DECISION = {"psycopg", "psycopg-binary", "psycopg-pool"}
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)


@pytest.fixture(scope="module")
def tool():
    """The folder of the release tools, in an environment of their own."""
    made = subprocess.run(
        ["sh", LISTS / "tools.sh", "release"], check=True, capture_output=True, text=True
    )
    return Path(made.stdout.strip()).parent


def tracked(folder):
    """A copy of what the repository holds, as it stands."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def run_release(folder, tool):
    subprocess.run(
        ["sh", "deploy/release.sh", tool / "cyclonedx-py"],
        cwd=folder,
        env=os.environ | {"PYTHON": sys.executable},
        check=True,
    )
    return {
        file.name: sha256(file.read_bytes()).hexdigest() for file in (folder / "dist").iterdir()
    }


def test_two_releases_are_the_same_to_the_octet(tool, tmp_path):
    tracked(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "at/another/place")
    here = run_release(tmp_path / "here", tool)
    assert run_release(tmp_path / "at/another/place", tool) == here
    assert {Path(name).suffix for name in here} == {".whl", ".json"}
    bill = json.loads((tmp_path / "here/dist/sbom.cdx.json").read_text())
    named = {(part["name"], part["version"]) for part in bill["components"]}
    wanted = {found[:2] for found in _PACKAGE.findall((LISTS / "base.txt").read_text())}
    assert named == wanted
    assert len(wanted) > 30


def _licence(name):
    data = distribution(name).metadata
    said = data.get("License-Expression") or ""
    listed = [one for one in data.get_all("Classifier", []) if one.startswith("License ::")]
    return " ".join([said or (data.get("License") or "")[:200], *listed])


def test_no_part_is_under_a_licence_that_binds_the_whole():
    installed = {name for name, _, _ in _PACKAGE.findall((LISTS / "base.txt").read_text())}
    licences = {}
    for name in installed:
        try:
            licences[name] = _licence(name)
        except ModuleNotFoundError:  # of another system, or another Python
            continue
    assert len(licences) > 30
    assert [name for name, licence in licences.items() if not licence.strip()] == []
    bound = {n for n, lic in licences.items() if re.search(r"GPL|General Public|BUSL|SSPL", lic)}
    assert bound <= LGPL_BY_DECISION
    assert all(re.search("LGPL|Lesser", licences[name]) for name in bound)


def _hook(tool, folder, *names):
    return subprocess.run(
        [tool / "detect-secrets-hook", "--baseline", ".secrets.baseline", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.soak
def test_no_secret_slipped_in_and_one_that_did_would_be_seen(tool, tmp_path):
    """What stands in `.secrets.baseline` are vectors of standards and words of tests."""
    copy = tracked(tmp_path / "copy")
    names = [str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()]
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)  # the hook asks it about changes
    found = _hook(tool, copy, *names)
    moved = 3  # a line's number in the baseline was another
    assert found.returncode in {0, moved}, re.findall(r"Location: .*", found.stdout)
    (copy / "slipped.py").write_text("KEY = 'AKIA" + "Q" * 16 + "'\n")
    assert _hook(tool, copy, "slipped.py").returncode == 1
