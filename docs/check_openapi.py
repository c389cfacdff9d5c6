"""Name what in the working API would break clients of the committed one: `docs/openapi.json`.

    git show v0.1.0:docs/openapi.json | python docs/check_openapi.py -

Without an argument the document of the last commit is the older one. Exit code 1 when anything
would break.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from headend.api.compat import breaking

FILE = Path(__file__).with_name("openapi.json")


def older() -> str:
    """The document to compare with, as text."""
    if sys.argv[1:] == ["-"]:
        return sys.stdin.read()
    if sys.argv[1:]:
        return Path(sys.argv[1]).read_text(encoding="utf-8")
    argv = ["git", "show", "HEAD:docs/openapi.json"]
    return subprocess.run(argv, cwd=FILE.parent, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Print one line for each thing that breaks."""
    found = breaking(json.loads(older()), json.loads(FILE.read_text(encoding="utf-8")))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
