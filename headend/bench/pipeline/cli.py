"""`ohmesh bench ingest` and `ohmesh bench direct`: the last line is one JSON object."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firmware_profiles import registry
from headend.bench.pipeline import flood as flooding
from headend.bench.pipeline import story
from headend.bench.pipeline.servers import Servers, servers
from ohmesh.usage import Parser

if TYPE_CHECKING:
    from collections.abc import Callable


def ingest(argv: list[str]) -> int:
    """Run `ohmesh bench ingest`."""
    return _run("ingest", "Gateways to broker to database.", story.run_ingest, argv)


def direct(argv: list[str]) -> int:
    """Run `ohmesh bench direct`."""
    return _run("direct", "One reading a message.", story.direct, argv)


def flood(argv: list[str]) -> int:
    """Run `ohmesh bench flood`."""
    return _run("flood", "One gateway floods, another does its work.", flooding.flood, argv)


def _run(
    name: str,
    text: str,
    measure: Callable[[Servers, story.Sizes, str], dict[str, Any]],
    argv: list[str],
) -> int:
    parser = Parser(
        prog=f"ohmesh bench {name}", description=text, epilog=f"example: ohmesh bench {name}"
    )
    parser.add_argument("--quick", action="store_true", help="under 30 s")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    parser.add_argument(
        "--profile",
        default="no_han",
        choices=registry.names(),
        metavar="NAME",
        help="of the meters",
    )
    parser.add_argument("--modems", type=int, help="meters with their own modem")
    parser.add_argument("--garbage", type=int, default=0, help="every N-th message is garbage")
    parser.add_argument("--database", metavar="URL", help="a superuser's; else one of our own")
    parser.add_argument("--broker", metavar="URL", help="else one of our own")
    options = parser.parse_args(argv)
    sizes = story.QUICK if options.quick else story.FULL
    sizes = replace(sizes, modems=options.modems or sizes.modems, garbage=options.garbage)
    with servers(options.database, options.broker) as place:
        result = measure(place, sizes, options.profile)
    if not options.json:
        for field, value in result.items():
            print(f"{field:28} {value}")
    print(json.dumps(result))
    return 0
