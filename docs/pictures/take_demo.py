"""Draw the README's picture of the demo: run it and save what it shows as SVG.

Example: .venv/bin/python docs/pictures/take_demo.py
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from meter_sim.demo import cli
from meter_sim.demo.options import Options

COLUMNS = 92
OPTIONS = Options(
    meters=60,
    seed=1,
    telegrams=None,
    serve=False,
    truth=None,
    database=None,
    broker=None,
    quiet=False,
)
# The reader's own fonts serve: the format's web fonts would be fetched from elsewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> int:
    """Run the demo and write demo.svg beside this file, or to the first argument."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("demo.svg")
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, highlight=False)
        facts = cli.show(OPTIONS, console)
        console.print(json.dumps(asdict(facts)))
    out.write_text(console.export_svg(title="make demo", code_format=FORMAT), encoding="utf-8")
    print(out)
    return 0 if facts.good else 1


if __name__ == "__main__":
    sys.exit(main())
