"""`ohmesh demo`: from one command to a living AMI."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import httpx
from rich.console import Console

from meter_sim.demo import app
from meter_sim.demo.options import Options
from meter_sim.demo.story import DemoError, Facts
from meter_sim.demo.view import View
from meter_sim.servers.process import ServerError
from ohmesh.model.errors import ConfigError
from ohmesh.usage import Parser

_EXAMPLE = "example: ohmesh demo --meters 60 --seed 1 --telegrams captures.jsonl --serve"
_METERS_MIN, _METERS_MAX = 6, 500


def _meters(text: str) -> int:
    if not (text.isdecimal() and _METERS_MIN <= int(text) <= _METERS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not {_METERS_MIN} to {_METERS_MAX} meters")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ohmesh demo", description=__doc__, epilog=_EXAMPLE)
    parser.add_argument("--meters", type=_meters, default=60, help="simulated meters (60)")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of street, radio and loads (1)",
    )
    parser.add_argument("--telegrams", type=Path, help="telegram records to feed (JSON lines)")
    parser.add_argument("--serve", action="store_true", help="keep API and dashboard up at the end")
    parser.add_argument(
        "--truth",
        type=Path,
        help="write what the meters produced (JSON lines); its folder must exist",
    )
    parser.add_argument("--database", help="a real PostgreSQL superuser's URL; default: embedded")
    parser.add_argument("--broker", help="a real MQTT 5 broker's URL; default: embedded")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    return parser


def _options(argv: list[str]) -> Options:
    words = _parser().parse_args(argv)
    if words.truth and not words.truth.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {words.truth.absolute().parent} for the truth file")
    return Options(
        meters=words.meters,
        seed=words.seed,
        telegrams=words.telegrams,
        serve=words.serve,
        truth=words.truth,
        database=words.database,
        broker=words.broker,
        quiet=words.json,
    )


def show(options: Options, console: Console) -> Facts:
    """Run the demo and show it; raises DemoError, ServerError, OhmeshError."""
    view = View(console)
    view.title("[bold]ohmesh[/]  meters · mesh · gateways · head-end · prepayment")
    facts = app.run(options, view)
    view.summary(_rows(facts))
    return facts


def main(argv: list[str]) -> int:
    """Run the demo; 0 when every promise was kept."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is taken down
    try:
        facts = show(options, Console(quiet=options.quiet, highlight=False))
    except (DemoError, ServerError) as error:
        print(f"ohmesh demo: {error}", file=sys.stderr)
        return 1
    except httpx.HTTPStatusError as error:
        print(f"ohmesh demo: the head-end refused: {error.response.text}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(facts)), flush=True)
    return 0 if facts.good else 1


def _rows(facts: Facts) -> list[tuple[str, str, bool]]:
    healed = ("no relay carries others: nothing to heal", "-", True)
    if facts.relay_killed is not None:
        behind = f"{facts.survivors_behind_it} meters behind it healed in"
        healed = (
            f"{facts.relay_killed} broken, {behind}",
            f"{facts.heal_s} s",
            facts.heal_s is not None,
        )
    return [
        ("meters joined", f"{facts.joined} of {facts.meters}", facts.joined == facts.meters),
        (
            "readings stored, value by value",
            f"{facts.readings_stored} of {facts.readings_expected}",
            facts.readings_stored == facts.readings_expected,
        ),
        ("duplicates in the table", str(facts.duplicates_in_db), facts.duplicates_in_db == 0),
        ("first reading stored", f"{facts.first_reading_s} s", facts.first_reading_s is not None),
        healed,
        ("no credit: relay read back open, at", f"{facts.cutoff_s} s", facts.cutoff_s is not None),
        ("paid: relay read back closed after", f"{facts.restore_s} s", facts.restore_s is not None),
        (
            "telegrams through gateway and head-end",
            f"{facts.telegrams_stored} of {facts.telegrams_in}",
            facts.telegrams_stored == facts.telegrams_in,
        ),
    ]
