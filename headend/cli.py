"""`ohmesh headend ...`: reads the configuration and starts what is asked for."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headend import config
from headend.config import required
from headend.ops import cli as ops
from headend.store import bootstrap, db, migrate
from ohmesh.program.logs import log_to_stderr
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = """\
examples:
  ohmesh headend bootstrap --admin-url postgresql://postgres@127.0.0.1/postgres --write headend.toml
  ohmesh headend serve --config headend.toml
  ohmesh headend config > headend.toml
"""


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ohmesh headend",
        description="The server: ingest, store, prepayment, commands, API.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("serve", _serve, "ingest, worker, API and pages in one process"),
        ("ingest", _ingest, "telegrams from the broker into the database"),
        ("worker", _worker, "rating, supply, commands"),
        ("migrate", _migrate, "bring the schema up to date"),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example: ohmesh headend {name} --config headend.toml",
        )
        command.add_argument("--config", type=Path, help="the TOML file; else the environment")
        command.set_defaults(run=run)
    _add_bootstrap(commands)
    ops.add_to(commands)
    shown = commands.add_parser(
        "config",
        help="print the commented default configuration",
        epilog="example: ohmesh headend config > headend.toml",
    )
    shown.set_defaults(run=_config)
    return parser


def _add_bootstrap(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "bootstrap",
        help="make database, roles, schema and secrets; write the configuration",
        epilog="example: ohmesh headend bootstrap "
        "--admin-url postgresql://postgres@127.0.0.1/postgres --write headend.toml",
    )
    command.add_argument("--admin-url", required=True, help="a superuser's address, used only here")
    command.add_argument("--write", required=True, type=Path, help="the file to write, mode 0600")
    command.add_argument("--database", default="ohmesh", help="name of the database")
    command.add_argument("--broker-url", default="mqtt://127.0.0.1:1883")
    command.add_argument("--api-port", type=int, default=8080)
    command.add_argument(
        "--open-reads", action="store_true", help="let everybody on this machine read the API"
    )
    command.set_defaults(run=_bootstrap)


def _serve(arguments: argparse.Namespace) -> int:
    from headend import app  # noqa: PLC0415 - the other subcommands start without the web server

    settings = config.load(arguments.config)
    log_to_stderr()
    app.serve(settings, announce=lambda text: print(text, file=sys.stderr, flush=True))
    return 0


def _ingest(arguments: argparse.Namespace) -> int:
    from headend import app  # noqa: PLC0415

    settings = config.load(arguments.config)
    log_to_stderr()
    app.run_ingest(settings)
    return 0


def _worker(arguments: argparse.Namespace) -> int:
    from headend import app  # noqa: PLC0415

    settings = config.load(arguments.config)
    log_to_stderr()
    app.run_worker(settings)
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    url = required(settings.database.owner_url, "database.owner_url")
    with db.connect(url, name="migrate", autocommit=True) as owner:
        done = migrate.migrate(owner)
    print(json.dumps({"applied": done.applied, "timescaledb": done.edition}))
    return 0


def _bootstrap(arguments: argparse.Namespace) -> int:
    done = bootstrap.bootstrap(
        arguments.admin_url,
        database=arguments.database,
        file=arguments.write.resolve(),
        broker_url=arguments.broker_url,
        api_port=arguments.api_port,
        open_reads=arguments.open_reads,
    )
    print(
        json.dumps(
            {
                "config": str(arguments.write),
                "applied": done.migrated.applied,
                "timescaledb": done.migrated.edition,
            }
        )
    )
    return 0


def _config(_arguments: argparse.Namespace) -> int:
    print(config.DEFAULT, end="")
    return 0
