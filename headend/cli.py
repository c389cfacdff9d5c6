"""`ohmesh headend ...`: reads the configuration and starts what is asked for."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headend import config
from headend.config import required
from headend.gate.process import read_key
from headend.ops import cli as ops
from headend.store import bootstrap, db, migrate
from ohmesh.program.logs import log_to_stderr
from ohmesh.usage import Parser
from ohmesh.wire.release import KEY_BYTES, public_key, sign_approval

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = """\
examples:
  ohmesh headend bootstrap --admin-url postgresql://postgres@127.0.0.1/postgres --write headend.toml
  ohmesh headend serve --config headend.toml
  ohmesh headend config > headend.toml
How many intervals were read in time, and whose fault the others are: ohmesh headend read-success
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
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("serve", _serve, "ingest, worker, API and pages"),
        ("api", _api, "API and pages alone"),
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
        if name in {"serve", "api"}:
            _add_api_arguments(command, a_child=name == "api")
    _add_gate(commands)
    _add_bootstrap(commands)
    ops.add_to(commands)
    shown = commands.add_parser(
        "config",
        help="print the commented default configuration",
        epilog="example: ohmesh headend config > headend.toml",
    )
    shown.set_defaults(run=_config)
    return parser


def _add_api_arguments(command: argparse.ArgumentParser, *, a_child: bool) -> None:
    command.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes for API and pages; else api.workers",
    )
    if a_child:  # what a supervisor hands to a process of its own
        for name in ("--listener", "--shares"):
            command.add_argument(name, type=int, help=argparse.SUPPRESS)
        command.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 4 and 1 <= int(text) <= config.WORKERS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 to {config.WORKERS_MAX}")
    return int(text)


def _add_gate(commands: argparse._SubParsersAction[Parser]) -> None:
    gate = commands.add_parser(
        "gate",
        help="the release gate: alone lets a disconnection out",
        description="Judge and sign what takes supply away: limits, breaker, two people.",
        epilog="example: ohmesh headend gate --config gate.toml",
    )
    gate.add_argument("--config", type=Path, help="the gate's own TOML file; else the environment")
    gate.add_argument(
        "--with-parent", action="store_true", help="end when standard input closes: for a child"
    )
    gate.set_defaults(run=_gate)
    approver = commands.add_parser(
        "approver",
        help="make the key of a person who may approve what is over a limit",
        description="Make the key of a person who may approve what is over a limit, unless the\n"
        "file is there; print the public key, for [gate.approvers] of gate.toml.",
        epilog="example: ohmesh headend approver --write anna.key",
    )
    approver.add_argument("--write", required=True, type=Path, help="the key file, mode 0600")
    approver.set_defaults(run=_approver)
    approve = commands.add_parser(
        "approve",
        help="sign an approval; POST what it prints to /v1/releases/approvals",
        description="Sign an approval; POST what it prints to /v1/releases/approvals.",
        epilog="example: ohmesh headend approve --key anna.key --name anna close-breaker:1:1790000",
    )
    approve.add_argument("subject", help="what to approve, as the API shows it")
    approve.add_argument(
        "--key", required=True, type=Path, help="your file, of 'ohmesh headend approver'"
    )
    approve.add_argument("--name", required=True, help="the name in the gate's configuration")
    approve.add_argument("--minutes", type=int, default=60, help="how long it is valid, default 60")
    approve.set_defaults(run=_approve)


def _add_bootstrap(commands: argparse._SubParsersAction[Parser]) -> None:
    text = "make database, roles, schema and secrets; write the configuration"
    command = commands.add_parser(
        "bootstrap",
        help=text,
        description=text,
        epilog="example:\n  ohmesh headend bootstrap "
        "--admin-url postgresql://postgres@127.0.0.1/postgres --write headend.toml",
    )
    command.add_argument(
        "--admin-url",
        required=True,
        type=ops.admin_url,
        help="a superuser's address, used only here",
    )
    command.add_argument("--write", required=True, type=Path, help="the file to write, mode 0600")
    command.add_argument("--database", default="ohmesh", help="its name, default ohmesh")
    command.add_argument(
        "--broker-url", default="mqtt://127.0.0.1:1883", help="default %(default)s"
    )
    command.add_argument("--api-port", type=int, default=8080, help="default %(default)s")
    command.add_argument(
        "--open-reads", action="store_true", help="let everybody on this machine read the API"
    )
    command.set_defaults(run=_bootstrap)


def _serve(arguments: argparse.Namespace) -> int:
    from headend import app  # noqa: PLC0415 - the other subcommands start without the web server

    settings = _with_workers(arguments)
    log_to_stderr()
    app.serve(settings, _announce, arguments.config)
    return 0


def _api(arguments: argparse.Namespace) -> int:
    from headend import app  # noqa: PLC0415

    settings = _with_workers(arguments)
    log_to_stderr()
    if arguments.with_parent and None not in {arguments.listener, arguments.shares}:
        app.run_api_child(settings, arguments.listener, arguments.shares)
    else:
        app.run_api(settings, _announce, arguments.config)
    return 0


def _with_workers(arguments: argparse.Namespace) -> config.Settings:
    settings = config.load(arguments.config)
    if arguments.workers is None:
        return settings
    api = settings.api.model_copy(update={"workers": arguments.workers})
    return settings.model_copy(update={"api": api})


def _announce(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ingest(arguments: argparse.Namespace) -> int:
    from headend import roles  # noqa: PLC0415

    settings = config.load(arguments.config)
    log_to_stderr()
    roles.run_ingest(settings)
    return 0


def _worker(arguments: argparse.Namespace) -> int:
    from headend import roles  # noqa: PLC0415

    settings = config.load(arguments.config)
    log_to_stderr()
    roles.run_worker(settings)
    return 0


def _gate(arguments: argparse.Namespace) -> int:
    from headend import roles  # noqa: PLC0415

    settings = config.load(arguments.config)
    log_to_stderr()
    roles.run_gate(settings, with_parent=arguments.with_parent)
    return 0


def _approver(arguments: argparse.Namespace) -> int:
    key = secrets.token_bytes(KEY_BYTES)
    bootstrap.write_secret(arguments.write, key.hex())
    key = read_key(arguments.write)
    print(public_key(key).hex())
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    not_after = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=arguments.minutes)
    approval = sign_approval(
        read_key(arguments.key), arguments.name, arguments.subject, int(not_after.timestamp())
    )
    print(
        json.dumps(
            {
                "name": approval.name,
                "subject": approval.subject,
                "not_after": not_after.isoformat(),
                "signature": approval.signature.hex(),
            }
        )
    )
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
