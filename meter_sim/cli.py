"""`ohmesh sim`: simulated meters and the radio between them."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meter_sim.capture import cli as capture_cli
from meter_sim.field import cli as field_cli
from meter_sim.load import cli as load_cli
from meter_sim.replay import cli as replay_cli
from meter_sim.scenario import cli as scenario_cli
from ohmesh.model.errors import ConfigError, ModelError, ProfileError
from ohmesh.model.reading import utc
from ohmesh.usage import Parser
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    # The library gives the type of `add_subparsers` no public name.
    _Commands: TypeAlias = argparse._SubParsersAction[Parser]  # noqa: SLF001

_EXAMPLES = """\
examples:
  ohmesh sim roster --meters 60 --gateways 2 --seed 1 > roster.json
  ohmesh sim ether --roster roster.json --air mqtt://127.0.0.1:1883
  ohmesh sim fleet --roster roster.json --air mqtt://127.0.0.1:1883 --truth truth.jsonl
  ohmesh sim experiment E4 --profile suburb-mid --nodes 100 --seeds 3
  ohmesh sim record day.ohmcap --broker mqtt://127.0.0.1:1883
  ohmesh sim replay day.ohmcap --to mqtt://127.0.0.1:1883 --speed 100
  ohmesh sim run any-one-node
"""
_EXPERIMENT_EXAMPLE = """\
examples:
  ohmesh sim experiment E4 --profile suburb-mid --nodes 100 --seeds 3
  ohmesh sim experiment all --quick --json
The exit code is 1 when a headline figure misses its target. Profiles: suburb-easy, suburb-mid,
suburb-hard, rows, rural. What each experiment measures: docs/mesh-results.md.
"""
_METERS_MAX = 5000
"""A street is drawn node against node; larger ones are for `ohmesh sim load`."""
_ROSTER_EXAMPLE = "example: ohmesh sim roster --meters 60 --gateways 2 --seed 1 > roster.json"
_KEYS_EXAMPLE = "example: ohmesh sim keys --roster roster.json --out mesh-keys.json"
_REPORT_EXAMPLE = "example: ohmesh sim report --nodes 300 --fault gateway --out report.html"
_ETHER_EXAMPLE = "example: ohmesh sim ether --roster roster.json --air mqtt://127.0.0.1:1883"
_FLEET_EXAMPLE = """\
example:
  ohmesh sim fleet --roster roster.json --air mqtt://127.0.0.1:1883 \\
      --truth truth.jsonl --state-dir meters
Meters write what they produce to the truth file, a JSON object a line. With --state-dir they go
on where they ended, whatever ended them; parts of one roster may share the folder, not the truth.
"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ohmesh sim",
        description="Simulated meters and the radio between them.",
        epilog=_EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_roster(commands)
    _add_keys(commands)
    _add_ether(commands)
    _add_fleet(commands)
    _add_experiment(commands)
    _add_report(commands)
    add = partial(_add, commands)
    field_cli.add_field(add)
    capture_cli.add_commands(add)
    replay_cli.add_commands(add)
    scenario_cli.add_commands(add)
    load_cli.add_commands(add)
    return parser


def _add(
    commands: _Commands,
    name: str,
    what: str,
    example: str,
    run: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=what,
        description=what[:1].upper() + what[1:] + ".",
        epilog=example,
    )
    parser.set_defaults(run=run)
    return parser


def _add_roster(commands: _Commands) -> None:
    parser = _add(
        commands, "roster", "draw a street of meters and print it", _ROSTER_EXAMPLE, _roster
    )
    parser.add_argument(
        "--meters", type=_meters, required=True, metavar="N", help="how many, 1 to 5000"
    )
    parser.add_argument("--gateways", type=int, default=2, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of street and radio, default 1")
    parser.add_argument(
        "--profile",
        action="append",
        type=_profile,
        metavar="NAME",
        help="profile of the meters, dealt out in turn when given again; default nl_dsmr, no_han",
    )
    parser.add_argument(
        "--prepaid", type=int, default=1, metavar="N", help="prepaying customers, default 1"
    )
    parser.add_argument(
        "--closed",
        action="store_true",
        help="meters must join; `ohmesh sim keys` makes the gateways' keys file",
    )
    parser.add_argument(
        "--start",
        type=_time,
        default=datetime(2026, 1, 1, tzinfo=UTC),
        metavar="TIME",
        help="simulated time at the beginning, ISO 8601 with a zone, default 2026-01-01T00:00:00Z",
    )
    parser.add_argument(
        "--interval", type=int, default=900, metavar="S", help="load-profile interval, default 900"
    )
    parser.add_argument(
        "--speed",
        type=int,
        default=600,
        metavar="X",
        help="how much faster than the clock the calendar runs, default 600",
    )
    parser.add_argument(
        "--timer-divisor",
        type=int,
        default=20,
        metavar="X",
        help="how much faster mesh timers and radio run, 1 to 20, default 20",
    )


def _add_ether(commands: _Commands) -> None:
    parser = _add(commands, "ether", "play the radio between nodes", _ETHER_EXAMPLE, _ether)
    _add_air(parser)


def _add_fleet(commands: _Commands) -> None:
    parser = _add(commands, "fleet", "run the meters of a roster", _FLEET_EXAMPLE, _fleet)
    _add_air(parser)
    parser.add_argument(
        "--part", type=_part, default=(1, 1), metavar="I/N", help="run every N-th meter, from I on"
    )
    parser.add_argument(
        "--truth", type=Path, metavar="FILE", help="where to write what is produced"
    )
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="where the meters remember")
    parser.add_argument(
        "--register", metavar="URL", help="a head-end's API to register the meters at"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the API's token")


def _add_experiment(commands: _Commands) -> None:
    parser = _add(
        commands,
        "experiment",
        "judge the mesh on virtual time",
        _EXPERIMENT_EXAMPLE,
        _experiment,
    )
    parser.add_argument("name", metavar="NAME", help="E1 to E18, or all")
    parser.add_argument("--profile", default="suburb-mid", help="streets, default %(default)s")
    parser.add_argument("--nodes", type=int, default=60, metavar="N", help="default %(default)s")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="default %(default)s")
    parser.add_argument("--first-seed", type=int, default=1, metavar="S", help="default 1")
    parser.add_argument("--quick", action="store_true", help="shorter runs")
    parser.add_argument(
        "--radio",
        choices=("exact", "fused"),
        help="every octet and collision, or whole exchanges; default exact up to 300 meters",
    )
    parser.add_argument("--weather", action="store_true", help="let links fade and flicker")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes for seeds, default %(default)s"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="",
        metavar="OUT",
        help="print the last line only; with a file's name, write it there as well",
    )


def _add_report(commands: _Commands) -> None:
    parser = _add(
        commands, "report", "hurt a city and write one page about it", _REPORT_EXAMPLE, _report
    )
    parser.add_argument("--profile", default="suburb-mid", help="streets, default %(default)s")
    parser.add_argument("--nodes", type=int, default=300, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument(
        "--fault",
        choices=("tenth", "relay", "gateway"),
        default="tenth",
        help="what dies: a tenth of the meters, the busiest relay, a gateway; default tenth",
    )
    parser.add_argument("--radio", choices=("exact", "fused"), help="as for experiment")
    parser.add_argument("--weather", action="store_true", help="let links fade and flicker")
    parser.add_argument(
        "--out", type=Path, default=Path("mesh-report.html"), metavar="FILE", help="%(default)s"
    )


def _add_air(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roster", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--air", type=_broker, required=True, metavar="URL", help="mqtt://host:port"
    )
    parser.add_argument("--verbose", action="store_true", help="say more on stderr")


def _argument(read: Callable[[str], object], text: str) -> object:
    """A value of the command line; wrong ones are wrong use, exit code 2."""
    try:
        return read(text)
    except (ConfigError, ModelError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _broker(text: str) -> object:
    return _argument(BrokerUrl.parse, text)


def _time(text: str) -> object:
    return _argument(lambda value: utc(datetime.fromisoformat(value)), text)


def _meters(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _METERS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {_METERS_MAX} meters")
    return int(text)


def _profile(text: str) -> object:
    from firmware_profiles import registry  # noqa: PLC0415 - start lean

    try:
        return registry.load(text).spec.name
    except ProfileError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _part(text: str) -> tuple[int, int]:
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no I/N with 1 <= I <= N, such as 1/2")
    return int(first), int(count)


def _add_keys(commands: _Commands) -> None:
    what = "make the keys file of a closed roster's gateways"
    parser = _add(commands, "keys", what, _KEYS_EXAMPLE, _keys)
    parser.add_argument("--roster", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="[mesh] keys_file")


def _keys(options: argparse.Namespace) -> None:
    from meter_sim.roster import read_roster  # noqa: PLC0415 - start lean
    from ohmesh.wire.joining import KEY_BYTES  # noqa: PLC0415 - start lean
    from ohmesh.wire.meshkeys import write_mesh_keys  # noqa: PLC0415 - start lean

    roster = read_roster(options.roster)
    if not roster.closed:
        raise ConfigError(f"{options.roster} is open to everybody; draw it with --closed")
    write_mesh_keys(options.out, roster.mesh_keys(secrets.token_bytes(KEY_BYTES)))


def _roster(options: argparse.Namespace) -> None:
    from meter_sim.street import StreetPlan, make_roster  # noqa: PLC0415 - start lean

    plan = StreetPlan(
        meters=options.meters,
        gateways=options.gateways,
        seed=options.seed,
        profiles=tuple(options.profile or ("nl_dsmr", "no_han")),
        prepaid=options.prepaid,
        start=options.start,
        interval_s=options.interval,
        calendar_speed=options.speed,
        timer_divisor=options.timer_divisor,
        closed=options.closed,
    )
    sys.stdout.write(make_roster(plan).to_json().decode())


def _ether(options: argparse.Namespace) -> None:
    from meter_sim.ether_app import run_ether  # noqa: PLC0415 - start lean
    from meter_sim.roster import read_roster  # noqa: PLC0415 - start lean

    run_ether(read_roster(options.roster), options.air)


def _fleet(options: argparse.Namespace) -> None:
    from meter_sim.fleet_app import FleetOptions, run_fleet  # noqa: PLC0415 - start lean
    from meter_sim.roster import read_roster  # noqa: PLC0415 - start lean

    chosen = FleetOptions(
        part=options.part,
        truth=options.truth,
        state_dir=options.state_dir,
        register=options.register,
        token_file=options.token_file,
    )
    run_fleet(read_roster(options.roster), options.air, chosen)


def _report(options: argparse.Namespace) -> int:
    from meter_sim.city.cli import write_report  # noqa: PLC0415 - start lean

    return write_report(options)


def _experiment(options: argparse.Namespace) -> int:
    from meter_sim.city.cli import run_experiments  # noqa: PLC0415 - start lean

    return run_experiments(options)


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    options = _parser().parse_args(argv)
    level = logging.INFO if getattr(options, "verbose", False) else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return int(options.run(options) or 0)
