"""What is installed is pinned by hash, and no release younger than a week is taken."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINS = ROOT / "requirements" / "pins.sh"
FILES = sorted(PINS.parent.glob("*.txt"))
PINNED = re.compile(r"[\w.\[\]-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+ *")


@pytest.mark.parametrize(
    ("asked", "cool_down"), [({}, "7 days"), ({"COOL_DOWN": "0 days"}, "0 days")]
)
def test_each_resolution_leaves_new_releases_alone(tmp_path, asked, cool_down):
    """A `uv` that tells how it was called and resolves nothing."""
    told, uv = tmp_path / "told", tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$UV_EXCLUDE_NEWER|$*" >> {told}\n')
    uv.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if name != "COOL_DOWN"}
    subprocess.run(["sh", PINS, uv], cwd=ROOT, env=known | asked, check=True)
    calls = told.read_text().splitlines()
    assert {call.rpartition(" -o ")[2] for call in calls} == {
        f"requirements/{f.name}" for f in FILES
    }
    assert {call.partition("|")[0] for call in calls} == {cool_down}
    assert all("--generate-hashes" in call for call in calls)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_package_is_pinned_by_hash(file):
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    assert [line for line in lines if not PINNED.fullmatch(line)] == []
