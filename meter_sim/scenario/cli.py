"""`ohmesh sim run|scenarios|compare`."""

from __future__ import annotations

import json
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meter_sim.capture.record import Clock, Header, config_digest
from meter_sim.capture.writer import CaptureWriter
from meter_sim.scenario.compare import compare_files
from meter_sim.scenario.model import Driver
from meter_sim.scenario.outcome import FACTS
from meter_sim.scenario.parse import load_scenario, shipped_names
from meter_sim.servers.process import ServerError
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from meter_sim.capture.cli import Add
    from meter_sim.scenario.model import Scenario
    from meter_sim.scenario.runner import Result

_RUN_EXAMPLE = """\
examples:
  ohmesh sim run any-one-node
  ohmesh sim run gateway-loss --seed 7 --report run.html --junit run.xml
  ohmesh sim run my-scenario.toml --capture telegrams.ohmcap
The exit code is 0 when every expectation held. `ohmesh sim scenarios` lists the shipped ones.
"""
_LIST_EXAMPLE = """\
examples:
  ohmesh sim scenarios
  ohmesh sim scenarios --facts
  ohmesh sim scenarios --print gateway-loss > mine.toml
"""
_COMPARE_EXAMPLE = """\
examples:
  ohmesh sim compare before.json after.json
  ohmesh sim compare before.ohmcap after.ohmcap
The exit code is 1 when they differ; the first line says where first.
"""
_SHOWN = 20


def add_commands(add: Add) -> None:
    """Add the sub-commands; `scenario` is another word for `run`."""
    for name in ("run", "scenario"):
        what = "run a scenario and judge it" if name == "run" else "the same as run"
        run = add(name, what, _RUN_EXAMPLE, _run)
        run.add_argument("scenario", nargs="+", metavar="NAME|FILE")
        run.add_argument("--seed", type=int, metavar="N", help="instead of the file's")
        run.add_argument("--report", type=Path, metavar="OUT.html", help="one self-contained page")
        run.add_argument("--junit", type=Path, metavar="OUT.xml", help="for CI servers")
        run.add_argument("--json-file", type=Path, metavar="OUT.json", help="for `sim compare`")
        run.add_argument("--capture", type=Path, metavar="OUT", help="keep what the meters sent")
        run.add_argument("--json", action="store_true", help="print the last line only")
    listing = add("scenarios", "list the shipped scenarios", _LIST_EXAMPLE, _list)
    listing.add_argument("--facts", action="store_true", help="list what can be expected")
    listing.add_argument("--print", dest="name", metavar="NAME", help="print a scenario's file")
    contrast = add("compare", "find the first difference of two runs", _COMPARE_EXAMPLE, _compare)
    contrast.add_argument("first", type=Path, metavar="A")
    contrast.add_argument("second", type=Path, metavar="B")
    contrast.add_argument("--json", action="store_true", help="print the last line only")


def _run(options: argparse.Namespace) -> int:
    from meter_sim.scenario import report  # noqa: PLC0415 - start lean
    from meter_sim.scenario.html import as_html  # noqa: PLC0415 - start lean

    if len(options.scenario) > 1 and (options.report or options.json_file or options.capture):
        raise ConfigError("--report, --json-file and --capture are for one scenario at a time")
    for path in filter(None, (options.report, options.junit, options.json_file, options.capture)):
        if not path.parent.is_dir():
            raise ConfigError(f"cannot write {path}: there is no folder {path.parent}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are taken down
    made_from = report.commit()
    results = []
    for name in options.scenario:
        result = _one(name, options)
        if result is None:
            return 1
        results.append(result)
        facts = report.as_dict(result, made_from)
        if not options.json:
            _show(result, report.explanation(result))
        print(json.dumps(_last_line(facts)), flush=True)
    if options.junit:
        _write(options.junit, report.as_junit(results, made_from))
    if options.report:
        _write(options.report, as_html(results[0], made_from).encode())
    if options.json_file:
        _write(options.json_file, json.dumps(facts, indent=1).encode() + b"\n")
    return 0 if all(result.passed for result in results) else 1


def _one(name: str, options: argparse.Namespace) -> Result | None:
    from meter_sim.scenario.runner import run_scenario  # noqa: PLC0415 - start lean

    scenario = load_scenario(name)
    if options.seed is not None:
        scenario = msgspec.structs.replace(scenario, seed=options.seed)
    path = Path(name)
    folder = path.parent if path.exists() else Path()
    capture = _capture(options.capture, scenario)
    try:
        return run_scenario(scenario, folder=folder, capture=capture)
    except ServerError as error:
        print(f"ohmesh sim run: {error}", file=sys.stderr)
    except httpx.HTTPStatusError as error:
        answer = error.response.text.replace("\n", " ")
        print(f"ohmesh sim run: the head-end refused: {answer}", file=sys.stderr)
    finally:
        if capture is not None:
            capture.close()
    return None


def _capture(path: Path | None, scenario: Scenario) -> CaptureWriter | None:
    if path is None:
        return None
    if scenario.driver is not Driver.FEED:
        raise ConfigError("--capture is for the driver 'feed'; `ohmesh sim record` taps the others")
    header = Header(
        config_sha256=config_digest(scenario),
        seed=scenario.seed,
        clock=Clock.VIRTUAL,
        base_us=round(scenario.fleet.start.timestamp() * 1_000_000),
        note=scenario.name,
    )
    return CaptureWriter(path, header)


def _last_line(facts: dict[str, object]) -> dict[str, object]:
    names = ("scenario", "seed", "passed", "failed", "first_difference", "driver", "facts")
    return {name: facts[name] for name in names}


def _write(path: Path, octets: bytes) -> None:
    try:
        path.write_bytes(octets)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _show(result: Result, explanation: str) -> None:
    console = Console(highlight=False)
    scenario = result.scenario
    mark = Text("passed", "bold green") if result.passed else Text("FAILED", "bold red")
    console.print(Text.assemble((scenario.name, "bold"), "  seed ", str(scenario.seed), "  ", mark))
    if not result.passed:
        console.print(Text(explanation, "red"))
    console.print(Text(scenario.proves, "dim"))
    table = Table(box=None, show_header=False)
    for verdict in result.verdicts:
        sign = Text("✓", "green") if verdict.passed else Text("✗", "red")
        table.add_row(sign, verdict.text, "unknown" if verdict.got is None else f"{verdict.got:g}")
    console.print(table)
    for note in result.outcome.notes:
        console.print(Text(note, "yellow"))


def _list(options: argparse.Namespace) -> int:
    if options.facts:
        for name, meaning in FACTS.items():
            print(f"{name:26} {meaning}")
        return 0
    if options.name:
        load_scenario(options.name)
        from meter_sim.scenario.parse import SHIPPED  # noqa: PLC0415 - for this alone

        path = SHIPPED / f"{options.name}.toml"
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    for name in shipped_names():
        scenario = load_scenario(name)
        soak = " (long)" if scenario.soak else ""
        print(f"{name:26} {scenario.driver.value:7} {scenario.proves}{soak}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    found = list(islice(compare_files(options.first, options.second), _SHOWN))
    if not options.json:
        for number, one in enumerate(found):
            head = "first difference: " if number == 0 else "                  "
            print(f"{head}{one.where}: {one.first} | {one.second}")
        if not found:
            print("no difference")
    first = found[0] if found else None
    line = None if first is None else {"where": first.where, "a": first.first, "b": first.second}
    print(json.dumps({"differences": len(found), "first_difference": line}))
    return 1 if found else 0
