"""Run every benchmark: `make bench`, or with --quick in less time.

Each is a script of this folder that crosses rooms, or a command `ohmesh bench NAME` of a program;
its last line is one JSON object, which is printed here after its name. The exit code is 1 when one
of them did not finish.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

SCRIPTS = ("first_run.py",)


def _benchmarks() -> dict[str, list[str]]:
    """Name -> command line."""
    here = Path(__file__).parent
    found = {name: [sys.executable, str(here / name)] for name in SCRIPTS}
    commands = {entry.name for entry in entry_points(group="ohmesh.commands")}
    for name in sorted(name for name in commands if name.startswith("bench ")):
        found[name] = [sys.executable, "-m", "ohmesh", *name.split()]
    return found


def _run(name: str, argv: list[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode != 0 or not last.startswith("{"):
        print(f"{name}: exit {done.returncode}: {done.stderr.strip()[-300:]}", flush=True)
        return False
    print(f"{name}: {json.dumps(json.loads(last))}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 30 s each, about")
    options = ["--json", "--quick"] if parser.parse_args().quick else ["--json"]
    results = [_run(name, argv + options) for name, argv in _benchmarks().items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
