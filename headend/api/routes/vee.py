"""Validated intervals, what validation found, and what people want done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid5

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import vee_views
from headend.api.answers import Pager, accepted, documented
from headend.api.etags import closed_periods
from headend.api.export.lists import also_as_files
from headend.api.fields import (
    YEAR_MAX,
    YEAR_MIN,
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
from headend.vee.model import Check, Method
from ohmesh.model.errors import Conflict
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Row

router = APIRouter(tags=["vee"])
SQL = Queries("headend.api", "vee.sql")
NAMESPACE = UUID("6f686d65-7368-5000-8000-696e74657276")
EDIT_MAX = timedelta(days=45)
_FIRST = datetime(YEAR_MIN, 1, 1, tzinfo=UTC)
_LAST = datetime(YEAR_MAX, 12, 31, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS = {flags: [f.name.lower() for f in Quality(flags) if f.name] for flags in range(64)}
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


class IntervalQuery(BaseModel):
    """Which intervals: those with an END in (`period_from`, `period_to`], RFC 3339 with a zone.

    That is the same as a START in [`period_from`, `period_to`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant | None = None
    period_to: Instant | None = None
    channel: Annotated[list[Channel], Field(max_length=50)] = [BILLED_CHANNEL]
    page_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    cursor: Annotated[str, Field(max_length=512)] | None = None
    format: Literal["json", "csv", "xlsx"] | None = None
    """`Accept` says it too."""


class TotalQuery(IntervalQuery):
    """Which totals: those that begin in [`period_from`, `period_to`)."""

    by: Literal["hour", "day", "month"] = "day"


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


def check_names(failed: int) -> list[str]:
    """The rules whose bits are set, as the API writes them."""
    return [check.name.lower() for check in Check if failed >> check & 1]


def _interval(row: Row) -> vee_views.Interval:
    shown = {name: row[name] for name in vee_views.Interval.__struct_fields__}
    shown["quality"] = _FLAGS[row["quality"]]
    shown["failed"] = check_names(row["failed"])
    shown["method"] = Method(row["method"]).name.lower()
    return vee_views.Interval(**shown)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _pages(
    name: str, request: Request, parts: Parts, *, who: Principal, meter: str, query: IntervalQuery
) -> tuple[Pager, tuple[int, int, int]]:
    """The pager of a list, and what it goes on behind: END, channel, version."""
    scope = {
        "list": name,
        "tenant": who.tenant_id,
        "meter": meter,
        **query.model_dump(mode="json", exclude={"page_size", "cursor", "format"}),
    }
    pager = Pager(request, parts.cursors, scope, query)
    first = (_micros(query.period_from or _FIRST), -1, -1)
    return pager, pager.behind(tuple[int, int, int], first)


def _key(row: Row) -> tuple[int, int, int]:
    return _micros(row.get("time") or row["begin"]), row["number"], row.get("version", 0)


def _list(
    who: Principal,
    meter: str,
    query: IntervalQuery,
    *,
    name: str,
    after: tuple[int, int, int],
    limit: int,
) -> Plan[list[Row]]:
    found = yield API_SQL(
        "find_meter_id", tenant_id=who.tenant_id, name=meter if is_id(meter) else ""
    )
    if not found:
        raise not_found("meter", meter)
    known = yield API_SQL("channels")
    wanted = set(query.channel)
    more = {"zone": found[0]["zone"]} if name.startswith("totals") else {}
    if name == "versions":
        more = {"after_version": after[2]}
    return (
        yield SQL(
            name,
            tenant_id=who.tenant_id,
            meter_id=found[0]["id"],
            channels=[row["id"] for row in known if row["name"] in wanted],
            from_ts=query.period_from or _FIRST,
            to_ts=query.period_to or _LAST,
            after_ts=_EPOCH + timedelta(microseconds=after[0]),
            after_channel=after[1],
            limit=limit,
            **more,
        )
    )


@router.get(
    "/v1/meters/{meter}/intervals",
    responses=documented("IntervalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.Interval)
async def list_intervals(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[IntervalQuery, Query()],
) -> Response:
    """List a meter's validated intervals, by END and then channel.

    The raw readings that they were made from stay at `/v1/meters/{meter}/readings`.
    """
    pager, after = _pages("intervals", request, parts, who=who, meter=meter, query=query)
    plan = _list(who, meter, query, name="intervals", after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _interval, _key)


@router.get(
    "/v1/meters/{meter}/interval-versions",
    responses=documented("IntervalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.Interval)
async def list_interval_versions(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[IntervalQuery, Query()],
) -> Response:
    """List every version of a meter's intervals, the oldest of each first.

    `replaced_at` is null for the version that counts now.
    """
    pager, after = _pages("versions", request, parts, who=who, meter=meter, query=query)
    plan = _list(who, meter, query, name="versions", after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _interval, _key)


@router.get(
    "/v1/meters/{meter}/interval-totals",
    responses=documented("IntervalTotalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.IntervalTotal)
async def list_interval_totals(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[TotalQuery, Query()],
) -> Response:
    """List a meter's intervals added up by local hour, day or month of its service point."""
    pager, after = _pages("totals", request, parts, who=who, meter=meter, query=query)
    name = f"totals_{query.by}"
    plan = _list(who, meter, query, name=name, after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _total, _key)


def _total(row: Row) -> vee_views.IntervalTotal:
    return vee_views.IntervalTotal(
        **{name: row[name] for name in vee_views.IntervalTotal.__struct_fields__}
    )


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
