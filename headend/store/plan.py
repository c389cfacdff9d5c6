"""Plans: business logic over SQL that knows neither connection nor event loop.

A plan is a generator. It yields a `Statement`, is given the rows that it returned, and ends with
its result; `yield from` joins plans. The same plan is run by a synchronous worker and by the
asynchronous API (`headend.store.db.run` and `run_async`), and by a unit test that feeds rows.
The SQL stands in a `.sql` file beside the module, each query under a header `-- name: <name>`.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, LiteralString, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
Row: TypeAlias = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement and its named parameters.

    Attributes:
        sql: its text.
        params: by name.
        one_plan: whether the plan that serves any parameters is good enough to be kept.
        silent: whether nobody looks at its rows; then it may travel with what follows it.
    """

    sql: LiteralString
    params: Mapping[str, object]
    one_plan: bool = False
    silent: bool = False

    def planned_once(self) -> Statement:
        """The same, for a question whose best plan does not hang on its parameters."""
        return replace(self, one_plan=True)

    def silently(self) -> Statement:
        """The same, for a write whose plan does not look at its rows."""
        return replace(self, silent=True)


Plan: TypeAlias = Generator[Statement, list[Row], _T]


class Queries:
    """The named statements of one `.sql` file.

    Example: `rows = yield Queries(__package__, "fleet.sql")("find_meter", name="M1")`.
    """

    def __init__(self, package: str, file: str) -> None:
        text = (files(package) / file).read_text(encoding="utf-8")
        _, *parts = _HEADER.split(text)
        names, bodies = parts[::2], [body.strip() for body in parts[1::2]]
        # Our own files: as literal as a string in a module.
        self._statements = cast("dict[str, LiteralString]", dict(zip(names, bodies, strict=True)))
        assert len(self._statements) == len(names), f"{file} names a query twice"

    def __call__(self, query: str, /, **params: object) -> Statement:
        """The statement of a name, with its parameters."""
        return Statement(self._statements[query], params)

    def sql(self, name: str) -> LiteralString:
        """The text alone."""
        return self._statements[name]


def first(rows: list[Row]) -> Row | None:
    """The only row, or None."""
    return rows[0] if rows else None


def single(statement: Statement) -> Plan[list[Row]]:
    """A plan of one statement: its rows."""
    return (yield statement)
