"""Run every benchmark that the installed programs offer: `make bench`, or with --quick in less.

Each is a command `ohmesh bench NAME`; its last line is one JSON object, which is printed here after
its name. The exit code is 1 when one of them did not finish.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.metadata import entry_points


def _names() -> list[str]:
    found = {entry.name for entry in entry_points(group="ohmesh.commands")}
    return sorted(name for name in found if name.startswith("bench "))


def _run(name: str, options: list[str]) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "ohmesh", *name.split(), "--json", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode != 0 or not last.startswith("{"):
        print(f"{name}: exit {done.returncode}: {done.stderr.strip()[-300:]}", flush=True)
        return False
    print(f"{name}: {json.dumps(json.loads(last))}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 30 s each")
    options = ["--quick"] if parser.parse_args().quick else []
    results = [_run(name, options) for name in _names()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
