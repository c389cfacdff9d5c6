"""Questions to PostgreSQL as one message, and their answers as they come back.

Theory of operation. libpq's pipeline mode collects what is asked; one flush sends it, with a Sync
at its end. What stands before the Sync is one transaction: an error in one question lets those
after it unasked (PostgreSQL, "Pipelining" of the extended query protocol). psycopg's own pipeline
flushes after each question, which costs more than half of a short read.

No I/O here: `exchange` is a generator that yields what it waits for (1: octets to read, 3: also
room to write) and is given what is ready, as `psycopg.AsyncConnection.wait` runs it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from psycopg.abc import Buffer, PQGen
    from psycopg.pq import Format
    from psycopg.pq.abc import PGconn, PGresult
    from psycopg.waiting import Wait

    Exchange: TypeAlias = PQGen[list[PGresult]]

PREPARE_AFTER: Final = 5
PREPARED_MAX: Final = 200
_READ, _READ_OR_WRITE = cast("Wait", 1), cast("Wait", 3)
_COMMAND_OK, _FATAL, _SYNC = 1, 7, 10
"""libpq's ExecStatusType: PGRES_COMMAND_OK, PGRES_FATAL_ERROR, PGRES_PIPELINE_SYNC."""
_BINARY: Final = 1
_BAD: Final = 1
"""ConnStatusType: CONNECTION_BAD."""
_NAMED: Final = re.compile(r"%(?:\((\w+)\)s|%)")
_Key: TypeAlias = "tuple[bytes, tuple[int, ...]]"


@dataclass(frozen=True, slots=True)
class Question:
    """One statement with `$1`, `$2` ... and its values in wire form.

    Attributes:
        text: the statement.
        values: of `$1` and so on; None is null.
        types: their oids; 0: the server finds out.
        formats: text or binary, each.
        one_plan: prepare it at its first use; otherwise when it was asked often.
    """

    text: bytes
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format] | None = None
    one_plan: bool = True


@dataclass(slots=True)
class Prepared:
    """What one connection has prepared, by text and types of the values."""

    names: dict[_Key, bytes] = field(default_factory=dict)
    asked: Counter[_Key] = field(default_factory=Counter)
    count: int = 0

    def wanted(self, question: Question) -> bool:
        """Whether a question that is not prepared shall be now."""
        key = (question.text, question.types)
        if self.count >= PREPARED_MAX or len(self.asked) > PREPARED_MAX:
            return False
        self.asked[key] += 1
        return question.one_plan or self.asked[key] >= PREPARE_AFTER

    def new_name(self) -> bytes:
        """A name that was never used: an error may leave a statement behind."""
        self.count += 1
        return b"_ohmesh_%d" % self.count


@cache
def positional(text: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with `%(name)s` as one with `$1`, and the names in that order."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _NAMED.sub(place, text).encode(), tuple(names)


def exchange(pgconn: PGconn, prepared: Prepared, questions: Sequence[Question]) -> Exchange:
    """Ask, and give back the result of each question, or the error that ended all of them last."""
    pgconn.enter_pipeline_mode()
    sent = [part for one in questions for part in _send(pgconn, prepared, one)]
    pgconn.pipeline_sync()
    while pgconn.flush():
        if (yield _READ_OR_WRITE):
            pgconn.consume_input()
    answers = yield from _answers(pgconn)
    if pgconn.status != _BAD:
        pgconn.exit_pipeline_mode()
    found = []
    for part, result in zip(sent, answers, strict=False):
        if part is not None and result.status == _COMMAND_OK:
            key, name = part
            prepared.names[key] = name
        elif part is None or result.status == _FATAL:
            found.append(result)
        if result.status == _FATAL:
            break
    return found


def _send(
    pgconn: PGconn, prepared: Prepared, question: Question
) -> Generator[tuple[_Key, bytes] | None]:
    """Put one question into the message; what each of its results is of: a preparation, or it."""
    key = (question.text, question.types)
    name = prepared.names.get(key)
    if name is None and prepared.wanted(question):
        name = prepared.new_name()
        pgconn.send_prepare(name, question.text, question.types)
        yield key, name
    if name is None:
        pgconn.send_query_params(
            question.text, question.values, question.types, question.formats, _BINARY
        )
    else:
        pgconn.send_query_prepared(name, question.values, question.formats, _BINARY)
    yield None


def _answers(pgconn: PGconn) -> Exchange:
    """All results up to the Sync; without it the connection was lost."""
    found: list[PGresult] = []
    ended = False
    while True:
        while pgconn.is_busy():
            if (yield _READ):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None and ended:
            return found
        ended = result is None
        if result is None:
            continue
        if result.status == _SYNC:
            return found
        found.append(result)
