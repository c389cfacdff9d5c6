"""`ohmesh headend read-success`: the figures of closed days, and a recount of the raw readings."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headend import config
from headend.config import required
from headend.readsuccess import report
from headend.readsuccess.report import Period
from headend.store import db
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from argparse import Namespace

    from headend.readsuccess.report import Difference
    from headend.store.db import Connection

EXAMPLE = "example: ohmesh headend read-success --config headend.toml --last 2026-03-31 --check"
SHOWN = 10


def main(argv: list[str]) -> int:
    """Print the report; with --check, 1 when the raw readings say something else."""
    options = _parser().parse_args(argv)
    url = required(config.load(options.config).database.api_url, "database.api_url")
    with db.connect(url, name="read-success") as connection, db.transaction(connection):
        db.see_tenant(connection, options.tenant)
        if options.gaps:
            return _gaps(connection, options)
        period = _period(connection, options)
        found = db.run(connection, report.report(options.tenant, period, options.worst))
        differences = None
        if options.check:
            differences = db.run(connection, report.recount(options.tenant, period))
            found["differences"] = len(differences)
    if not options.json:
        _show(found, differences or [])
    print(json.dumps(found, default=str))
    return int(bool(differences))


def _parser() -> Parser:
    parser = Parser(
        prog="ohmesh headend read-success",
        description="How many intervals were read on time, and whose fault the others are.",
        epilog=EXAMPLE,
    )
    parser.add_argument("--config", type=Path, help="the TOML file; else the environment")
    parser.add_argument("--first", type=_day, metavar="DAY", help="YYYY-MM-DD")
    parser.add_argument("--last", type=_day, metavar="DAY", help="else the newest")
    parser.add_argument("--tenant", type=int, default=1, help="number of the utility")
    parser.add_argument("--worst", type=int, default=SHOWN, help="how many meters or gaps to name")
    parser.add_argument("--check", action="store_true", help="count again from the raw readings")
    parser.add_argument("--gaps", action="store_true", help="what is missing now, and nothing else")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-03-31") from None


def _period(connection: Connection, options: Namespace) -> Period:
    newest = db.run(connection, report.newest_day(options.tenant))
    last = options.last or newest or datetime.now(UTC).date()
    return Period(options.first or last - timedelta(days=6), last)


def _gaps(connection: Connection, options: Namespace) -> int:
    """What is missing now: the oldest gaps, and all intervals by cause."""
    begin = datetime.fromtimestamp(0, UTC)
    rows = db.run(connection, report.gaps(options.tenant, (begin, -1), options.worst))
    causes = db.run(connection, report.gap_causes(options.tenant))
    if not options.json:
        for row in rows:
            by = f" ({row['gateway']})" if row["gateway"] else ""
            print(
                f"{row['meter']:20} after {row['period_from']:%Y-%m-%d %H:%M} to "
                f"{row['period_to']:%Y-%m-%d %H:%M} UTC{row['intervals']:>7}  {row['cause']}{by}"
            )
    oldest = [{name: value for name, value in row.items() if name != "number"} for row in rows]
    found = {"missing": sum(causes.values()), "causes": causes, "oldest": oldest}
    print(json.dumps(found, default=str))
    return 0


def _show(found: dict[str, Any], differences: list[Difference]) -> None:
    if not found["days"]:
        print(
            f"no day from {found['period_from']} to {found['period_to']} is closed: a day closes "
            f"{found['deadline_h']} hours after its end, when the data are past it"
        )
        return
    print(f"{'day':12}{'expected':>10}{'on time':>10}{'stored':>10}{'on time':>12}  causes")
    for day in found["days"]:
        causes = ", ".join(f"{cause} {count}" for cause, count in day["causes"].items())
        share = "-" if day["on_time_ppm"] is None else f"{day['on_time_ppm'] / 10_000:.4f} %"
        print(
            f"{day['day']!s:12}{day['expected']:>10}{day['on_time']:>10}{day['stored']:>10}"
            f"{share:>12}  {causes}"
        )
    for line in found["lines"]:
        verdict = "met" if line["met"] else f"{len(line['below'])} days below"
        print(f"{line['limit_ppm'] / 10_000:.1f} % every day: {verdict}")
    for one in found["failing"]:
        print(f"{one['kind']} {one['component']}: misses on {one['days']} days running")
    for one in differences[:SHOWN]:
        print(f"{one.meter} {one.day}: the table has {one.table}, the raw readings {one.raw}")
