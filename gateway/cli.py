"""`ohmesh gateway`: run, enrol, detect, doctor, config, outbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import app, config
from gateway.detect import Find, Search, detect, ports, sections
from gateway.doctor import examine
from gateway.drivers.line import tcp_address
from gateway.enrolment import enrol
from gateway.field_settings import numbers
from gateway.identity import Identity
from gateway.outbox_start import inspect_outbox
from gateway.outbox_summary import OutboxSummary, read_summary, summarise
from gateway.sqlite import BusyError, DamagedError
from ohmesh.model.errors import ConfigError, DriverError, OhmeshError, StoreError
from ohmesh.program.logs import log_to_stderr
from ohmesh.usage import Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_EXAMPLE = """\
example:
  ohmesh gateway config > gateway.toml           # then edit name and broker
  ohmesh gateway detect >> gateway.toml          # the meters on this machine's ports
  ohmesh gateway doctor --config gateway.toml    # what is still wrong, and the fix
  ohmesh gateway run --config gateway.toml
"""
_ABOUT = {
    "run": """\
Run the gateway until SIGTERM: it takes telegrams from its sources, keeps each on disk before it
says so, and sends it until the head-end has it. The log is JSON on stderr, a line each; a source
says when its line is open, when it is lost and when it is back.""",
    "enrol": """\
Make a key on this device and get a certificate for it from the head-end. The token comes from the
head-end (POST /v1/gateways/NAME/enrolment), works once, and is best given by standard input.""",
    "doctor": """\
Look at clock, disk, outbox, broker, certificate, lines and sources. A line each: ok, warn or FAIL,
and below it the fix. Exits 1 when one fails. It may be run beside a running gateway.""",
    "outbox": """\
Show how many telegrams wait for the head-end, how old the oldest is, and for how many hours there
is room at the present rate. It may be run beside a running gateway.""",
    "detect": """\
Look for meters on lines and print, on standard output, the sections of the configuration that read
them; on standard error it tells what it does. A silent port takes a minute or two: it is listened
to first, then asked as an optical head, DLMS, M-Bus and Modbus, at the usual speeds. Stop the
gateway first: a line has one user.""",
    "config": """\
Print the whole configuration with its defaults and a word on each setting. Each can also stand in
the environment, as OHMESH_GATEWAY__BROKER__URL.""",
}
_EXAMPLES = {
    "enrol": """\
example:
  ohmesh gateway enrol --config gateway.toml --url https://ami.example < token
""",
    "outbox": "example: ohmesh gateway outbox --config gateway.toml",
    "detect": """\
examples:
  ohmesh gateway detect >> gateway.toml          # the meters on this machine's ports
  ohmesh gateway detect /dev/ttyUSB0 tcp://192.168.1.30:502 --units 1-40
""",
}
_FRESH_S = 60


def main(argv: list[str]) -> int:
    """Run one command; 0 success, 1 a negative answer, 2 wrong use."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ohmesh gateway",
        description="The gateway: takes telegrams from meters and loses none.",
        epilog=_EXAMPLE,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> None:
        command = commands.add_parser(
            name,
            help=text,
            description=_ABOUT[name],
            epilog=_EXAMPLES.get(name, _EXAMPLE),
        )
        command.set_defaults(run=run)
        if name == "detect":
            _add_detect_options(command)
        elif name != "config":
            command.add_argument(
                "--config", type=Path, metavar="FILE", help="default: all defaults"
            )
        if name == "enrol":
            _add_enrol_options(command)
        if name in {"doctor", "outbox"}:
            command.add_argument("--json", action="store_true", help="only one JSON object")

    add("run", "run the gateway until SIGTERM", _run)
    add("enrol", "make a key here and get its certificate from the head-end", _enrol)
    add("doctor", "say what keeps this gateway from working, and the fix", _doctor)
    add("outbox", "say what waits for the head-end and for how long there is room", _outbox)
    add("detect", "look for meters on lines, and print sections that read them", _detect)
    add("config", "print the commented default configuration", _config)
    return parser


def _add_detect_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "lines",
        nargs="*",
        metavar="LINE",
        help="a port, or tcp://host:port; without any: all serial ports of this machine",
    )
    command.add_argument(
        "--units",
        default="1-10",
        metavar="1-10",
        help="Modbus units to ask, default %(default)s",
    )
    command.add_argument(
        "--listen",
        type=float,
        default=11.0,
        metavar="S",
        help="seconds to listen for a meter that pushes, default %(default)s",
    )


def _add_enrol_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", required=True, help="of the head-end, such as https://ami.example"
    )
    command.add_argument(
        "--token", default="", help="as the head-end gave it; better by standard input"
    )
    command.add_argument(
        "--ca", type=Path, metavar="FILE", help="authority of the head-end's own certificate, PEM"
    )


def _enrol(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    identity = Identity(settings.broker.identity)
    token = arguments.token or sys.stdin.readline().strip()
    try:
        if arguments.ca:
            identity.trust_api(arguments.ca.read_bytes())
        enrol(identity, arguments.url, token, settings.gateway)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    print(f"enrolled as {identity.life().name} until {identity.life().ends:%Y-%m-%d}")
    return 0


def _detect(arguments: argparse.Namespace) -> int:
    try:
        units = numbers(arguments.units, least=1, most=247)
        for line in arguments.lines:
            if line.startswith("tcp://"):
                tcp_address(line)
    except (ValueError, ConfigError) as error:
        print(f"ohmesh gateway detect: {error}", file=sys.stderr)
        return 2
    lines = arguments.lines or ports()
    if not lines:
        print(
            "ohmesh gateway detect: this machine has no serial port; name a line", file=sys.stderr
        )
        return 1
    finds, failed = asyncio.run(_search(lines, Search(listen_s=arguments.listen, units=units)))
    print("\n".join(sections(finds)), end="")
    return 0 if finds and not (failed and arguments.lines) else 1


async def _search(lines: list[str], search: Search) -> tuple[list[Find], int]:
    """Line after line: what was found, and how many lines failed; both are told on stderr."""
    finds, failed = [], 0
    for line in lines:
        print(f"{line} ...", file=sys.stderr)
        try:
            find = await detect(line, search)
        except DriverError as error:
            print(f"ohmesh gateway detect: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{line}: {find.kind if find else 'no meter found'}", file=sys.stderr)
        finds += [find] if find else []
    return finds, failed


def _config(_: argparse.Namespace) -> int:
    print(config.DEFAULT, end="")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
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


def _doctor(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    checks = asyncio.run(examine(settings, datetime.now(UTC)))
    ok = all(check.ok for check in checks)
    if arguments.json:
        print(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
        return 0 if ok else 1
    for check in checks:
        print(f"{check.verdict:4}  {check.name:11} {check.detail}")
        if check.fix:
            print(f"      fix: {check.fix}")
    return 0 if ok else 1


def _outbox(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    summary = _look(settings)
    print(json.dumps(asdict(summary)) if arguments.json else "\n".join(_describe(summary)))
    return 0


def _look(settings: config.GatewaySettings) -> OutboxSummary:
    """The outbox itself, or the word of the gateway that has it open. Raises StoreError."""
    path, now_ms = settings.outbox.path, app.utc_ms()
    if not path.exists():
        raise StoreError(
            f"there is no outbox {path.absolute()}; a gateway makes it when it starts (a name "
            "without a folder means the folder you are in)"
        )
    try:
        with contextlib.closing(inspect_outbox(path, max_bytes=settings.outbox.max_bytes)) as file:
            return summarise(file.state, file.span(), now_ms)
    except DamagedError as error:
        raise StoreError(
            f"{error}; start the gateway: it rescues what is readable and keeps the damaged file"
        ) from error
    except BusyError as error:
        summary = read_summary(path)
        if summary is None or now_ms - summary.at_ms > _FRESH_S * 1000:
            raise StoreError(f"{error}; it has left no word yet, try again in a moment") from error
        return summary


def _describe(summary: OutboxSummary) -> Iterator[str]:
    mib = 2**20
    told = datetime.fromtimestamp(summary.at_ms / 1000, UTC)
    yield f"as of     {told.isoformat(timespec='seconds')}"
    yield f"waiting   {summary.waiting} telegrams, the oldest for {summary.oldest_waiting_s} s"
    yield f"kept      {summary.kept} acknowledged telegrams"
    yield f"file      {summary.used_bytes / mib:.1f} of {summary.max_bytes / mib:.1f} MiB"
    if summary.hours_left is None:
        yield "room      not known yet: too little was received"
    else:
        rate = summary.telegrams_per_hour
        yield f"room      {summary.hours_left} h at {rate} telegrams an hour"
    if summary.thinned:
        yield f"thinned   {summary.thinned} telegrams left out by sources: it is nearly full"
