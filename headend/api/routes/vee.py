"""What validation found, what people want done about it, and exchanged meters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid5

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import vee_views
from headend.api.answers import Pager, accepted, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import (
    Body,
    Channel,
    Id,
    IdempotencyKey,
    Instant,
    Integer,
    PageQuery,
    PathId,
    Text,
    is_id,
)
from headend.api.problems import invalid, not_found
from headend.api.services import BILLED_CHANNEL, Caller, Parts
from headend.api.services import SQL as API_SQL
from headend.store.plan import Plan, Queries, single
from headend.vee.channels import kinds
from headend.vee.model import Check
from ohmesh.model.errors import Conflict

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Row

router = APIRouter(tags=["vee"])
SQL = Queries("headend.api", "vee.sql")
NAMESPACE = UUID("6f686d65-7368-5000-8000-696e74657276")
EDIT_MAX = timedelta(days=45)
RuleName = Literal[
    "gap",
    "clock",
    "negative",
    "spike",
    "high",
    "low",
    "zero_run",
    "sum",
    "phase",
    "unit",
    "size",
]


class ExceptionQuery(PageQuery):
    """Filters of the list of exceptions."""

    state: Literal["open", "accepted", "edited", "gone"] | None = None
    rule: RuleName | None = None
    meter: Id | None = None


class EditQuery(PageQuery):
    """Filters of the list of edits."""

    id: UUID | None = None
    state: Literal["asked", "done", "refused"] | None = None
    meter: Id | None = None


class AskEdit(Body):
    """What to do with the intervals of a meter with ENDs in (`period_from`, `period_to`].

    * `set` writes `values`, one for each interval in order; they stand whatever readings come.
    * `estimate` writes estimates that add up to what the intervals add up to now.
    * `accept` settles the open exceptions and changes no value.
    * `revert` takes people's values back: validation decides again.
    """

    meter: Id
    kind: Literal["set", "estimate", "accept", "revert"]
    period_from: Instant
    period_to: Instant
    reason: Text
    channel: Channel = BILLED_CHANNEL
    values: Annotated[list[Integer], Field(max_length=5000)] | None = None


class NoteSwap(Body):
    """An exchange: the closing read of the old meter, the opening read of the new one."""

    at: Instant
    old_close: Integer
    new_open: Integer
    channel: Channel = BILLED_CHANNEL


@router.get("/v1/vee/exceptions", responses=documented("VeeExceptionPage", files=True))
@also_as_files(vee_views.VeeException)
async def list_vee_exceptions(
    request: Request, parts: Parts, who: Caller, query: Annotated[ExceptionQuery, Query()]
) -> Response:
    """List what validation found, newest first."""
    scope = query.scope("exceptions", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    statement = SQL(
        "exceptions",
        tenant_id=who.tenant_id,
        before=before,
        state=query.state,
        rule=Check[query.rule.upper()].value if query.rule else None,
        meter=query.meter,
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(statement))
    return pager.page(rows, _exception, lambda row: (row["id"],))


def _exception(row: Row) -> vee_views.VeeException:
    return vee_views.VeeException(**{**row, "rule": Check(row["rule"]).name.lower()})


@router.get("/v1/vee/edits", responses=documented("IntervalEditPage", files=True))
@also_as_files(vee_views.IntervalEdit)
async def list_edits(
    request: Request, parts: Parts, who: Caller, query: Annotated[EditQuery, Query()]
) -> Response:
    """List what people wanted done with intervals, newest first."""
    scope = query.scope("edits", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    before = pager.behind(tuple[datetime, UUID], (None, None))
    statement = SQL(
        "edits",
        tenant_id=who.tenant_id,
        id=query.id,
        state=query.state,
        meter=query.meter,
        before_at=before[0],
        before_id=before[1],
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(statement))
    return pager.page(
        rows, lambda row: vee_views.IntervalEdit(**row), lambda row: (row["asked_at"], row["id"])
    )


@router.post(
    "/v1/vee/edits",
    status_code=202,
    responses=documented("IntervalEdit", created=202),
    name="edit_intervals",
)
async def edit(
    parts: Parts, who: Caller, body: AskEdit, idempotency_key: IdempotencyKey
) -> Response:
    """Ask for an edit. Validation does it at once; follow it at `/v1/vee/edits?id=`."""
    _check(body)
    made, replayed = await parts.store.run(
        who.tenant_id, _edit(who, body, idempotency_key, parts.now())
    )
    return accepted(vee_views.IntervalEdit(**made), replayed=replayed, status=202)


def _check(body: AskEdit) -> None:
    if not timedelta(0) < body.period_to - body.period_from <= EDIT_MAX:
        raise invalid(
            "/body/period_to", f"the stretch must be above 0 and at most {EDIT_MAX.days} days"
        )
    if (body.kind == "set") != (body.values is not None):
        raise invalid("/body/values", "`set` needs values, the other kinds take none")
    _check_channel(body.channel)


def _check_channel(name: str) -> None:
    if name not in kinds():
        raise invalid("/body/channel", f"{name} has no intervals; it is not an energy or volume")


def _edit(who: Principal, body: AskEdit, key: str, now: datetime) -> Plan[tuple[Row, bool]]:
    number = uuid5(NAMESPACE, f"{who.tenant_id}/{key}")
    meter_id = yield from _meter(who, body.meter)
    made = yield SQL(
        "add_edit",
        id=number,
        tenant_id=who.tenant_id,
        meter_id=meter_id,
        channel=body.channel,
        kind=body.kind,
        from_ts=body.period_from,
        to_ts=body.period_to,
        amounts=body.values,
        reason=body.reason,
        author=who.name,
        key=key,
        now=now,
    )
    row = (
        yield SQL(
            "edits",
            tenant_id=who.tenant_id,
            id=number,
            state=None,
            meter=None,
            before_at=None,
            before_id=None,
            limit=1,
        )
    )[0]
    same = all(
        row[name] == getattr(body, name)
        for name in ("meter", "channel", "kind", "period_from", "period_to", "values")
    )
    if not same:
        raise Conflict(f"the idempotency key {key!r} belongs to another edit")
    return row, not made


def _meter(who: Principal, name: str) -> Plan[int]:
    found = yield API_SQL(
        "find_meter_id", tenant_id=who.tenant_id, name=name if is_id(name) else ""
    )
    if not found:
        raise not_found("meter", name)
    return int(found[0]["id"])


@router.post(
    "/v1/meters/{meter}/swaps",
    status_code=201,
    responses=documented("MeterSwap", created=201),
    name="note_swap",
)
async def swap(parts: Parts, who: Caller, meter: PathId, body: NoteSwap) -> Response:
    """Write down the exchange of a meter that keeps its id; its intervals are made anew.

    The reads are in the channel's unit and resolution, as `/v1/meters/{meter}/readings` has them.
    """
    _check_channel(body.channel)
    row, replayed = await parts.store.run(who.tenant_id, _swap(who, meter, body))
    return accepted(vee_views.MeterSwap(**row), replayed=replayed)


@router.get("/v1/meters/{meter}/swaps", responses=documented("MeterSwapPage"))
async def list_swaps(
    request: Request, parts: Parts, who: Caller, meter: PathId, query: Annotated[PageQuery, Query()]
) -> Response:
    """List the exchanges of a meter, newest first."""
    scope = query.scope("swaps", tenant=who.tenant_id, meter=meter)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[datetime], (None,))
    rows = await parts.store.run(who.tenant_id, _swaps(who, meter, before, pager.limit))
    return pager.page(rows, lambda row: vee_views.MeterSwap(**row), lambda row: (row["at"],))


def _swaps(who: Principal, meter: str, before: datetime | None, limit: int) -> Plan[list[Row]]:
    meter_id = yield from _meter(who, meter)
    return (
        yield SQL("swaps", tenant_id=who.tenant_id, meter_id=meter_id, before=before, limit=limit)
    )


def _swap(who: Principal, meter: str, body: NoteSwap) -> Plan[tuple[Row, bool]]:
    meter_id = yield from _meter(who, meter)
    wish = {
        "tenant_id": who.tenant_id,
        "meter_id": meter_id,
        "channel": body.channel,
        "at": body.at,
    }
    made = yield SQL(
        "add_swap", **wish, old_close=body.old_close, new_open=body.new_open, author=who.name
    )
    row = (yield SQL("swap", **wish))[0]
    if (row["old_close"], row["new_open"]) != (body.old_close, body.new_open):
        raise Conflict(f"another exchange of {meter} is written down for that time")
    return row, not made
