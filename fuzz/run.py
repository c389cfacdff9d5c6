"""Fuzz one target with atheris, guided by coverage: in the environment `fuzz`.

    sh requirements/tools.sh fuzz
    .tools/fuzz/bin/python fuzz/run.py sml --runs 1000000 --corpus /tmp/corpus/sml

The corpus is a folder of inputs; what reaches new code is added. A finding ends the run with a
traceback and a file `crash-...` in the working folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["firmware_profiles", "ohmesh"]):
    from mesh import hear_anything
    from targets import TARGETS

ALL = {**TARGETS, "mesh_station": hear_anything}

INPUT_BYTES_MAX = 2048
INPUT_TIMEOUT_S = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(ALL))
    parser.add_argument("--runs", type=int, default=100_000, help="executions")
    parser.add_argument("--seconds", type=int, default=0, help="end earlier, 0 for not")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, required=True)
    options = parser.parse_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    words = [
        sys.argv[0],
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-max_total_time={options.seconds}",
        str(options.corpus),
    ]
    atheris.Setup(words, ALL[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
