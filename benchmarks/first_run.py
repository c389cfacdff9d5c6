"""From a bare clone to a living AMI: how long each step of `make demo` takes, a gateway's memory.

A fresh clone in a fresh folder with a fresh HOME runs `make demo`; then the demo runs once more,
warm, and the gateways' memory is read while it does. Prints one JSON object last.

    python benchmarks/first_run.py [--json] [--quick]     --quick: warm run only, in this checkout
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
MIB = 1024 * 1024


def last_line(output: str) -> dict[str, object]:
    return dict(json.loads(output.strip().splitlines()[-1]))


def gateways_rss_mib() -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        words = process.info["cmdline"] or []
        if "gateway" in words and "run" in words and process.info["memory_info"]:
            found.append(process.info["memory_info"].rss // MIB)
    return found


class Watch(threading.Thread):
    """Reads the gateways' memory twice a second; keeps the most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_mib = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            self.most_mib = max([self.most_mib, *gateways_rss_mib()])


def demo(python: Path, folder: Path, environment: dict[str, str]) -> tuple[dict[str, object], int]:
    watch = Watch()
    watch.start()
    argv = [str(python), "-m", "ohmesh", "demo", "--json"]
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    watch.done.set()
    watch.join()
    return last_line(done.stdout), watch.most_mib


def fresh_clone(folder: Path) -> dict[str, object]:
    """`make demo` in a new clone; its last line and the seconds of the set-up and of all."""
    home = folder / "home"
    home.mkdir()
    clone = folder / "ohmesh"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {k: v for k, v in os.environ.items() if not re.match("VIRTUAL_ENV|PYTHON", k)}
    environment["HOME"] = str(home)
    began = time.monotonic()
    subprocess.run(["make", "-s", ".venv/.base"], cwd=clone, env=environment, check=True)
    setup_s = time.monotonic() - began
    done = subprocess.run(
        ["make", "-s", "demo"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    facts = last_line(done.stdout)
    return {
        "setup_s": round(setup_s, 1),
        "make_demo_s": round(time.monotonic() - began, 1),
        "cold_first_reading_s": facts["first_reading_s"],
        "cold_cutoff_s": facts["cutoff_s"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    quick = parser.parse_args().quick
    result: dict[str, object] = {}
    if not quick:
        with tempfile.TemporaryDirectory(prefix="ohmesh-first-run-") as folder:
            Path(folder).chmod(0o755)
            result |= fresh_clone(Path(folder))
    facts, most_mib = demo(Path(sys.executable), ROOT, dict(os.environ))
    wanted = "first_reading_s cutoff_s restore_s heal_s seconds readings_stored readings_expected"
    result |= {f"warm_{name}": facts[name] for name in wanted.split()}
    result["gateway_rss_mib"] = most_mib
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
