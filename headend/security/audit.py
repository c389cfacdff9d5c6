"""The audit log: who changed what, in a chain of hashes that shows any later hand.

Theory of operation. Every transaction of the API that changes something ends with one entry,
written by a function of the database that is the only writer; the API's role cannot insert, change
or delete a row. Each entry holds the hash of the one before, so an entry cannot be changed, dropped
or moved without all behind it. Whoever owns the database can make the whole chain anew: therefore
the head (number and hash) is worth writing down elsewhere every day, and `verify` takes it.

hash = SHA-256(prev || fields); each field is its length in octets in decimal, a colon, its UTF-8:
tenant, number, time in microseconds since 1970, who, action, target, detail.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from headend.store.plan import Row, Statement

SQL: Final = Queries("headend.security", "audit.sql")
ROWS_PART: Final = 10_000


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a request does, for the log. Never a secret.

    Attributes:
        who: the principal's name.
        action: the operation's name.
        target: the request's path.
        detail: what else is worth knowing.
    """

    who: str
    action: str
    target: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a tenant's chain as the database tells it."""

    tenant_id: int
    name: str
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: entries that hold, and the first fault, or an empty text."""

    entries: int
    fault: str = ""


def entry_hash(tenant_id: int, row: Row) -> bytes:
    """The hash that an entry must have."""
    text = (tenant_id, row["seq"], row["at_us"], row["who"], row["action"], row["target"])
    digest = hashlib.sha256(row["prev"])
    for field in (*text, row["detail"]):
        octets = str(field).encode()
        digest.update(b"%d:%s" % (len(octets), octets))
    return digest.digest()


def check_part(tenant_id: int, rows: list[Row], after: int, prev: bytes) -> tuple[bytes, str]:
    """Check entries that follow on the entry `after` with the hash `prev`.

    Returns: the hash of the last that holds, and the first fault or an empty text.
    """
    for row in rows:
        after += 1
        if row["seq"] != after:
            return prev, f"entry {after} is missing"
        if row["prev"] != prev:
            return prev, f"entry {after} does not follow on entry {after - 1}"
        if entry_hash(tenant_id, row) != row["hash"]:
            return prev, f"entry {after} was changed"
        prev = row["hash"]
    return prev, ""


def verify(head: Head, known: tuple[int, bytes] | None = None) -> Plan[Verdict]:
    """Check a tenant's whole chain.

    Args:
        head: its end as the database tells it.
        known: number and hash that were written down elsewhere before.
    """
    count, last = 0, b""
    while True:
        rows = yield SQL("part", tenant_id=head.tenant_id, after=count, limit=ROWS_PART)
        last, fault = check_part(head.tenant_id, rows, count, last)
        if fault:
            return Verdict(count, fault)
        if known and any((r["seq"], r["hash"]) == known for r in rows):
            known = None
        count += len(rows)
        if len(rows) < ROWS_PART:
            return Verdict(count, _end_fault(head, count, last, known))


def _end_fault(head: Head, count: int, last: bytes, known: tuple[int, bytes] | None) -> str:
    if (count, last) != (head.seq, head.hash):
        return f"the log ends at entry {count}, its head says {head.seq}"
    return f"entry {known[0]} is not the one that was written down" if known else ""


def heads() -> Plan[list[Head]]:
    """The ends of all chains that the role may see."""
    rows = yield SQL("heads")
    return [Head(r["tenant_id"], r["name"], r["seq"], r["hash"]) for r in rows]


def append(deed: Deed) -> Plan[None]:
    """An entry for something that changes nothing in the store: a refusal, a sign-in."""
    yield _statement("append", deed)


def appended(deed: Deed, plan: Plan[object]) -> Plan[object]:
    """A plan, and an entry in the same transaction if it has changed something."""
    result = yield from plan
    yield _statement("append_if_changed", deed).silently()
    return result


def _statement(name: str, deed: Deed) -> Statement:
    return SQL(name, who=deed.who, action=deed.action, target=deed.target, detail=deed.detail)
