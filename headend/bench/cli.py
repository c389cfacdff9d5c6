"""`ohmesh bench vend`, `rating`, `topup`, `sweep`, `vee`: the last line is one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headend.bench import prepaid
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any


def vend(argv: list[str]) -> int:
    """Run `ohmesh bench vend`."""
    from headend.bench import wallet  # noqa: PLC0415 - rating needs no database

    def measure(count: int, database: str | None) -> dict[str, Any]:
        return prepaid.vend(10 * count) | wallet.api_vend(count, database)

    text = "Build STS tokens, and sell some through the API."
    return _on_database("vend", text, measure, argv, (1500, 500))


def rating(argv: list[str]) -> int:
    """Run `ohmesh bench rating`."""
    return _run("rating", "Rate months of half-hours.", prepaid.rating, argv, (2_000, 200))


def topup(argv: list[str]) -> int:
    """Run `ohmesh bench topup`."""
    from headend.bench import wallet  # noqa: PLC0415 - the others need no database

    return _on_database("topup", "Book top-ups through the API.", wallet.topup, argv, (3000, 1000))


def sweep(argv: list[str]) -> int:
    """Run `ohmesh bench sweep`."""
    from headend.bench import wallet  # noqa: PLC0415 - the others need no database

    text = "Look at the balance of every contract once."
    return _on_database("sweep", text, wallet.sweep, argv, (100_000, 10_000))


def _on_database(
    name: str,
    text: str,
    measure: Callable[[int, str | None], dict[str, Any]],
    argv: list[str],
    sizes: tuple[int, int],
) -> int:
    parser = _parser(name, text)
    parser.add_argument("--count", type=int, default=0, help="how many, instead of the default")
    parser.add_argument("--database", metavar="URL", help="a superuser's address; else our own")
    options = parser.parse_args(argv)
    _print(measure(options.count or sizes[1 if options.quick else 0], options.database), options)
    return 0


def vee(argv: list[str]) -> int:
    """Run `ohmesh bench vee`."""
    from headend.bench import vee as bench  # noqa: PLC0415 - the others need no database

    parser = _parser("vee", "Validate a fleet's readings on a database, and what each rule costs.")
    parser.add_argument("--meters", type=int, default=0, help="how many, three days of each")
    parser.add_argument("--database", metavar="URL", help="a superuser's address; else our own")
    options = parser.parse_args(argv)
    _print(bench.vee(options.meters or (300 if options.quick else 1500), options.database), options)
    return 0


def api(argv: list[str]) -> int:
    """Run `ohmesh bench api`."""
    from headend.bench import api as bench  # noqa: PLC0415 - the others need no database

    parser = _parser("api", "Ask the API over HTTP, beside the same SQL in the same run.")
    parser.add_argument("--meters", type=int, default=0, help="how many the list has")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--database", metavar="URL", help="a superuser's address; else our own")
    options = parser.parse_args(argv)
    sizes = (10_000, 50, 50) if options.quick else (100_000, 300, 1000)
    result = bench.api(options.meters or sizes[0], *sizes[1:], options.database, options.workers)
    _print(result, options)
    return 0


def _run(
    name: str,
    text: str,
    measure: Callable[[int], dict[str, Any]],
    argv: list[str],
    sizes: tuple[int, int],
) -> int:
    options = _parser(name, text).parse_args(argv)
    _print(measure(sizes[1] if options.quick else sizes[0]), options)
    return 0


def _parser(name: str, text: str) -> Parser:
    parser = Parser(
        prog=f"ohmesh bench {name}", description=text, epilog=f"example: ohmesh bench {name}"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    return parser


def _print(result: dict[str, Any], options: Namespace) -> None:
    if not options.json:
        for field, value in result.items():
            print(f"{field:24} {value}")
    print(json.dumps(result))
