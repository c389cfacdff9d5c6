"""`ohmesh profiles`: list and show profiles, decode files of telegrams."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from firmware_profiles import registry
from firmware_profiles.records import answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from firmware_profiles.api import ProfileSpec

_WRONG_USE = 2


def main(argv: list[str]) -> int:
    """Run `ohmesh profiles ARGV`; returns the exit code."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ohmesh profiles",
        description="National meter profiles.",
        epilog="example: ohmesh profiles decode telegrams.jsonl",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser(
        "list", help="the installed profiles", epilog="example: ohmesh profiles list"
    )
    listing.set_defaults(run=_list)
    show = commands.add_parser(
        "show", help="one profile's data", epilog="example: ohmesh profiles show nl_dsmr"
    )
    show.add_argument("name", help="as `list` prints it")
    show.set_defaults(run=_show)
    decode = commands.add_parser(
        "decode",
        help="decode a file of telegram records, a JSON line each",
        epilog="example: ohmesh profiles decode telegrams.jsonl --no-verify",
    )
    decode.add_argument("file", help="the records, - for standard input")
    decode.add_argument(
        "--no-verify", action="store_true", help="accept telegrams whose checksum fails"
    )
    decode.set_defaults(run=_decode)
    return parser


def _list(_options: argparse.Namespace) -> int:
    for name in registry.names():
        spec = registry.load(name).spec
        print(f"{name:14} {spec.country:3} {spec.evidence:10} {spec.title}")
    return 0


def _show(options: argparse.Namespace) -> int:
    print(describe(registry.load(options.name).spec))
    return 0


def describe(spec: ProfileSpec) -> str:
    """A profile's data for people."""
    head = {
        "name": spec.name,
        "title": spec.title,
        "country": spec.country,
        "zone": spec.zone,
        "interval": f"{spec.interval_s} s",
        "evidence": spec.evidence,
        "codec": spec.codec,
        "security": spec.security,
        "standards": ", ".join(spec.standards),
        "reported": ", ".join(spec.reported),
    }
    lines = [f"{key:10} {value}" for key, value in head.items()]
    lines += ["", "registers"]
    lines += [
        f"  {channel:30} {register.obis!s:14} {register.unit.value:6} 10^{register.scaler}"
        for channel, register in spec.registers.items()
    ]
    for rule in spec.rules:
        lines += ["", f"{rule.topic} ({rule.confidence}, {rule.checked_on})", f"  {rule.summary}"]
        lines += [f"  {rule.source}", *(f"  {k} = {v}" for k, v in rule.data.items())]
    return "\n".join(lines)


def _decode(options: argparse.Namespace) -> int:
    if options.file == "-":
        return _decode_lines(sys.stdin, verify=not options.no_verify)
    try:
        with open(options.file, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - a name from the command line, as given
            return _decode_lines(stream, verify=not options.no_verify)
    except OSError as error:
        print(f"ohmesh profiles decode: {options.file}: {error.strerror}", file=sys.stderr)
        return _WRONG_USE


def _decode_lines(stream: TextIO, *, verify: bool) -> int:
    for answer in answers(stream, verify=verify):
        print(answer)
    return 0
