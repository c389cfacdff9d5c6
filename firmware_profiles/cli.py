"""`ohmesh profiles`: list and show profiles, decode files of telegrams."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_profiles import conformance, registry, scaffold, tender
from firmware_profiles.conformance.report import as_html, as_text
from firmware_profiles.records import RecordError, answers
from ohmesh.model.errors import ProfileError
from ohmesh.usage import Parser

if TYPE_CHECKING:
    import argparse
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
    parser = Parser(
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
    _add_conformance(commands)
    _add_match(commands)
    _add_new(commands)
    return parser


def _add_conformance(commands: argparse._SubParsersAction[Parser]) -> None:
    kit = commands.add_parser(
        "conformance",
        help="what a profile proves: bronze, silver or gold",
        epilog="example: ohmesh profiles conformance nl_dsmr --vectors captured.jsonl",
    )
    kit.add_argument("name", help="as `list` prints it")
    kit.add_argument(
        "--vectors", type=Path, nargs="+", default=[], help="files of captured telegrams"
    )
    kit.add_argument("--report", type=Path, help="write an HTML page for a tender")
    kit.add_argument(
        "--require",
        choices=[tier.name.lower() for tier in conformance.Tier if tier],
        default="bronze",
        help="exit with 1 below this tier (default: bronze)",
    )
    kit.set_defaults(run=_conformance)


def _add_match(commands: argparse._SubParsersAction[Parser]) -> None:
    match = commands.add_parser(
        "match",
        help="which profiles, drivers and ways of prepayment meet a tender",
        epilog="example: ohmesh profiles match --country NL --commodity gas --transport p1",
    )
    match.add_argument("--country", help="ISO 3166 code")
    match.add_argument("--commodity", choices=tender.COMMODITIES)
    match.add_argument("--transport", choices=tender.transports())
    match.add_argument("--prepayment", choices=tender.prepayments())
    match.set_defaults(run=_match)


def _add_new(commands: argparse._SubParsersAction[Parser]) -> None:
    new = commands.add_parser(
        "new",
        help="write a package with a new profile that works",
        epilog="example: ohmesh profiles new xx_demo --country XX --zone Europe/Oslo",
    )
    new.add_argument("name", help="lower case with underscores, such as xx_demo")
    new.add_argument("--country", default="-", help="ISO 3166 code (default: -)")
    new.add_argument("--zone", default="UTC", help="IANA zone of the meters (default: UTC)")
    new.add_argument("--title", help="one line for people (default: the name)")
    new.add_argument("--into", type=Path, help="new folder (default: ohmesh-profile-NAME)")
    new.set_defaults(run=_new)


def _list(_options: argparse.Namespace) -> int:
    broken = 0
    for name in registry.names():
        try:
            spec = registry.load(name).spec
        except ProfileError as error:
            broken += 1
            print(f"ohmesh profiles list: {error}", file=sys.stderr)
        else:
            print(f"{name:14} {spec.country:3} {spec.evidence:10} {spec.title}")
    return 1 if broken else 0


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
    except BrokenPipeError:  # of the output, and no fault of the file
        raise
    except OSError as error:
        print(f"ohmesh profiles decode: {options.file}: {error.strerror}", file=sys.stderr)
        return _WRONG_USE


def _decode_lines(stream: TextIO, *, verify: bool) -> int:
    for answer in answers(stream, verify=verify):
        print(answer)
    return 0


def _conformance(options: argparse.Namespace) -> int:
    profile = registry.load(options.name)
    try:
        vectors = conformance.load_vectors(options.vectors, profile.spec)
    except (OSError, RecordError) as error:
        print(f"ohmesh profiles conformance: {error}", file=sys.stderr)
        return _WRONG_USE
    verdict = conformance.judge(profile, vectors)
    print(as_text(verdict))
    if options.report:
        page = as_html(verdict, profile.spec, version("ohmesh"))
        options.report.write_text(page, encoding="utf-8")
    return int(verdict.tier < conformance.Tier[options.require.upper()])


def _match(options: argparse.Namespace) -> int:
    demand = tender.Demand(
        options.country, options.commodity, options.transport, options.prepayment
    )
    found = tender.match(demand, map(registry.load, registry.names()))
    for name, standards in found.profiles.items():
        spec = registry.load(name).spec
        print(f"profile {name:14} {spec.evidence:10} {spec.title} ({', '.join(standards)})")
    for part in found.met:
        print(f"met     {part}")
    for part in found.missing:
        print(f"missing {part}")
    return int(bool(found.missing))


def _new(options: argparse.Namespace) -> int:
    folder = options.into or Path(f"ohmesh-profile-{options.name.replace('_', '-')}")
    new = scaffold.NewProfile(
        options.name, options.country, options.zone, options.title or options.name
    )
    texts = scaffold.contents(new, datetime.now(UTC).date())
    if folder.exists():
        raise ProfileError(f"{folder} is there already")
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    print(f"{folder} is written; next: pip install -e {folder}")
    return 0
