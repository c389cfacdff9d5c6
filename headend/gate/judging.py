"""The gate's round as a plan: what waits is judged, signed, or put in quarantine.

Theory of operation. A command that takes supply away may be queued by anybody who may queue
commands; it leaves only with a row in `ohmesh.release`, which the gate's database role alone may
write, signed with a key that only the gate's process holds. For an automatic cut the gate does not
believe the row: it looks at the ledger's balance, the contract's terms and the hours itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from statistics import median_low
from typing import TYPE_CHECKING, Final

import msgspec

from headend.gate.limits import DAY, HOUR, Books, Request, Verdict
from headend.prepayment.contract import Supply
from headend.prepayment.terms import policy
from headend.prepayment.turn import Turn
from headend.store.plan import Plan, Queries
from ohmesh.model.command import NEEDS_RELEASE
from ohmesh.wire.release import Approval, Release, sign_release, two_people

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from headend.store.plan import Row

SQL: Final = Queries("headend.gate", "gate.sql")
LIMIT: Final = 1000
CLOCK_LIMIT: Final = timedelta(seconds=2)
"""Beyond it the gate's clock or the store's is wrong, and hours cannot be told."""
_GUARDED: Final = [kind.value for kind in NEEDS_RELEASE]
_AUTOMATIC: Final = "prepayment"


@dataclass(frozen=True, slots=True)
class Signer:
    """The gate's own secret, and whose word it takes.

    Attributes:
        key: Ed25519, 32 bytes.
        people: name -> public key of those who may approve.
    """

    key: bytes
    people: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round did."""

    released: int = 0
    held: int = 0
    refused: int = 0
    clock_differs: bool = False


def judge_all(
    signer: Signer, now: datetime, *, clock_limit: timedelta | None = None
) -> Plan[Judged]:
    """Judge everything that waits, in one transaction.

    Args:
        signer: the gate's secret.
        now: UTC.
        clock_limit: with a store whose clock differs by more nothing leaves; None: not looked at.
    """
    if clock_limit is not None:
        stored_at = (yield SQL("clock"))[0]["at"]
        if abs(stored_at - now) > clock_limit:
            return Judged(clock_differs=True)
    yield SQL("lock_tenants")
    yield from close_breakers(signer, now)
    rows = yield SQL("waiting", now=now, limit=LIMIT, guarded=_GUARDED)
    books: dict[int, Books] = {}
    released = held = refused = 0
    for row in rows:
        tenant = row["tenant_id"]
        if tenant not in books:
            books[tenant] = yield from books_of(tenant, now)
        if not _is_right(row, now):
            refused += 1
            continue
        subject = release_subject(row["id"])
        approved = yield from _approved(signer, tenant, subject, now)
        automatic = _is_automatic(row)
        request = Request(
            row["id"],
            row["address"],
            row["area"],
            automatic,
            approved,
            counted=row["held"] is not None,
        )
        verdict = books[tenant].judge(request, now)
        if verdict is Verdict.RELEASE:
            yield from _release(signer, row, now, request)
            released += 1
        else:
            yield from _hold(row, verdict, now)
            held += 1
    return Judged(released, held, refused)


def _is_automatic(row: Row) -> bool:
    """Whether an empty wallet asks for it, not a person: a hold is an order, too."""
    if row["requested_by"] != _AUTOMATIC or row["kept"] is None:
        return False
    return bool(msgspec.json.decode(row["kept"], type=Supply).hold is None)


def _is_right(row: Row, now: datetime) -> bool:
    """Whether the contract itself allows it; a person's order needs no empty wallet."""
    if row["kept"] is None:
        return bool(row["requested_by"] != _AUTOMATIC)
    supply = msgspec.json.decode(row["kept"], type=Supply)
    if row["decision_seq"] != supply.decision_seq and row["account_id"] is not None:
        return False
    if row["requested_by"] != _AUTOMATIC:
        return True
    agreed = policy(row["account"], row["terms"], row["zone"])
    turn = Turn(agreed, row["wallet_mu"], now, row["stopped"], supply)
    exhausted = turn.exhausted or supply.hold is not None
    return bool(exhausted) and turn.permission(deciding=False).ok


def books_of(tenant_id: int, now: datetime) -> Plan[Books]:
    """What a tenant's limits are made of, as the store has it."""
    released = yield SQL("released", tenant_id=tenant_id, since=now - DAY)
    sizes = {row["area"]: row["meters"] for row in (yield SQL("sizes", tenant_id=tenant_id))}
    contracts = (yield SQL("contracts", tenant_id=tenant_id))[0]["contracts"]
    breaker = yield SQL("breaker", tenant_id=tenant_id)
    weeks = yield SQL("history", tenant_id=tenant_id, now=now)
    known = weeks[0]["first_at"] is not None and weeks[0]["first_at"] <= now - 28 * DAY
    hour = [row for row in released if row["at"] > now - HOUR]
    closed_at = breaker[0]["closed_at"] if breaker else None
    held = yield SQL("held", tenant_id=tenant_id, since=now - HOUR, automatic=_AUTOMATIC)
    requested = [row["at"] for row in (*hour, *held) if row["automatic"]]
    books = Books(
        requested_at=sorted(at for at in requested if closed_at is None or at > closed_at),
        orders=sum(not row["automatic"] and not row["approved"] for row in hour),
        day=len(released),
        meters=sum(sizes.values()),
        area_meters=sizes,
        contracts=contracts,
        median=median_low(row["cuts"] for row in weeks) if known else None,
        opened_at=breaker[0]["opened_at"] if breaker else None,
    )
    books.by_area.update(row["area"] for row in hour)
    return books


def _release(signer: Signer, row: Row, now: datetime, request: Request) -> Plan[None]:
    not_after_s = int(row["not_after"].timestamp())
    release = Release(row["id"].bytes, not_after_s, row["area"])
    yield SQL(
        "insert_release",
        command_id=row["id"],
        tenant_id=row["tenant_id"],
        meter_id=row["meter_id"],
        area=row["area"],
        automatic=request.automatic,
        approved=request.approved,
        now=now,
        not_after=row["not_after"],
        octets=sign_release(signer.key, row["address"], release),
    )
    if row["held"] is not None:
        yield SQL("unhold", command_id=row["id"])
        yield from _note(row["tenant_id"], now, "gate.approved", {"command": str(row["id"])})


def _hold(row: Row, verdict: Verdict, now: datetime) -> Plan[None]:
    tenant = row["tenant_id"]
    if verdict is Verdict.OPENS_BREAKER:
        yield SQL(
            "set_breaker", tenant_id=tenant, opened_at=now, reason="too many cuts", closed_at=None
        )
        yield from _note(tenant, now, "gate.breaker_opened", {})
    reason = Verdict.BREAKER if verdict is Verdict.OPENS_BREAKER else verdict
    made = yield SQL("hold", command_id=row["id"], tenant_id=tenant, reason=reason.value, now=now)
    if made:
        detail = {"command": str(row["id"]), "reason": reason.value}
        yield from _note(tenant, now, "gate.quarantined", detail)


def close_breakers(signer: Signer, now: datetime) -> Plan[int]:
    """Close the breakers for which two people have signed; their number."""
    closed = 0
    for row in (yield SQL("open_breakers")):
        subject = breaker_subject(row["tenant_id"], row["opened_at"])
        if (yield from _approved(signer, row["tenant_id"], subject, now)):
            yield SQL(
                "set_breaker",
                tenant_id=row["tenant_id"],
                opened_at=None,
                reason="closed by two people",
                closed_at=now,
            )
            yield from _note(row["tenant_id"], now, "gate.breaker_closed", {})
            closed += 1
    return closed


def breaker_subject(tenant_id: int, opened_at: datetime) -> str:
    """What two people sign to close a breaker: this opening of it, no later one."""
    return f"close-breaker:{tenant_id}:{int(opened_at.timestamp())}"


def release_subject(command: UUID) -> str:
    """What two people sign to let a command out of quarantine."""
    return f"release:{command}"


def _approved(signer: Signer, tenant_id: int, subject: str, now: datetime) -> Plan[bool]:
    rows = yield SQL("approvals", tenant_id=tenant_id, subject=subject, now=now)
    approvals = [
        Approval(
            row["name"],
            row["subject"],
            int(row["not_after"].timestamp()),
            bytes(row["signature"]),
        )
        for row in rows
    ]
    return two_people(signer.people, subject, approvals, int(now.timestamp()))


def _note(tenant_id: int, now: datetime, kind: str, detail: Mapping[str, object]) -> Plan[None]:
    text = msgspec.json.encode(detail).decode()
    yield SQL("insert_event", tenant_id=tenant_id, at=now, kind=kind, detail=text)
