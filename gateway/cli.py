"""`ohmesh gateway`: run, doctor, config, outbox."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import app, config
from gateway.logs import log_to_stderr
from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLE = """\
example:
  ohmesh gateway config > gateway.toml
  ohmesh gateway doctor --config gateway.toml
  ohmesh gateway run --config gateway.toml
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ohmesh gateway",
        description="The gateway: takes telegrams from meters and loses none.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "run the gateway until SIGTERM"),
        ("config", "print the commented default configuration"),
    ):
        command = commands.add_parser(name, help=text, description=text, epilog=_EXAMPLE)
        if name != "config":
            command.add_argument("--config", type=Path, metavar="FILE", help="TOML file")
    return parser


def main(argv: list[str]) -> int:
    """Run one command; 0 success, 1 a negative answer, 2 wrong use."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "config":
        print(config.DEFAULT, end="")
        return 0
    settings = config.load(arguments.config)
    return _run(settings)


def _run(settings: config.GatewaySettings) -> int:
    log_to_stderr(settings.log.level)
    failures: list[Exception] = []
    try:
        asyncio.run(app.run(settings))
    except* (OhmeshError, OSError) as group:
        failures += _leaves(group)
    for error in failures:
        print(f"ohmesh gateway: {error}", file=sys.stderr)
    return 1 if failures else 0


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
