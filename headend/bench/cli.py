"""`ohmesh bench vend` and `ohmesh bench rating`: the last line is one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headend.bench import prepaid
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def vend(argv: list[str]) -> int:
    """Run `ohmesh bench vend`."""
    return _run("vend", "Build STS tokens.", prepaid.vend, argv, (50_000, 5_000))


def rating(argv: list[str]) -> int:
    """Run `ohmesh bench rating`."""
    return _run("rating", "Rate months of half-hours.", prepaid.rating, argv, (2_000, 200))


def _run(
    name: str,
    text: str,
    measure: Callable[[int], dict[str, Any]],
    argv: list[str],
    sizes: tuple[int, int],
) -> int:
    parser = Parser(
        prog=f"ohmesh bench {name}", description=text, epilog=f"example: ohmesh bench {name}"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    options = parser.parse_args(argv)
    result = measure(sizes[1] if options.quick else sizes[0])
    if not options.json:
        for field, value in result.items():
            print(f"{field:24} {value}")
    print(json.dumps(result))
    return 0
