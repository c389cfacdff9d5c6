"""The statements of ingest, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headend.store.plan import Queries

if TYPE_CHECKING:
    from collections.abc import Iterable

SQL: Final = Queries("headend.ingest", "ingest.sql")


def numbers(values: Iterable[int | None]) -> str:
    """Whole numbers as an array that PostgreSQL reads: psycopg takes three times as long.

    The statement names its type: `%(meters)s::int[]`.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
