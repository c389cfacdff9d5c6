"""Reports over the fleet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from headend.api import views
from headend.api.answers import answer, documented
from headend.api.fields import Channel, Instant
from headend.api.problems import invalid
from headend.api.services import BILLED_CHANNEL, SQL, Caller, Parts

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1/reports", tags=["reports"])
WINDOW = timedelta(days=1)
WINDOW_MAX = timedelta(days=40)


class ReadSuccessQuery(BaseModel):
    """The window, and how many of the worst meters to name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant | None = None
    period_to: Instant | None = None
    channel: Channel = BILLED_CHANNEL
    grace_s: Annotated[int, Field(ge=0, le=86_400)] = 3600
    worst: Annotated[int, Field(ge=0, le=1000)] = 20


@router.get("/read-success", responses=documented("ReadSuccess"))
async def read_success(
    parts: Parts, who: Caller, query: Annotated[ReadSuccessQuery, Query()]
) -> Response:
    """Stored against expected intervals in a window.

    The denominator: for each meter the interval ENDs in (`period_from`, `period_to`], counted from
    its registration, or from its first stored interval if it was registered after that. Without
    `period_to` the window ends `grace_s` before the newest interval stored in the fleet: what is
    younger may still be on its way. Without `period_from` it is a day long. `ratio_ppm` is
    stored / expected in millionths, null when nothing was expected.
    """
    return answer(
        await parts.store.run(who.tenant_id, read_success_plan(who.tenant_id, query, parts.now()))
    )


def read_success_plan(
    tenant_id: int, query: ReadSuccessQuery, now: datetime
) -> Plan[views.ReadSuccess]:
    """The report. Raises Problem(invalid): no such channel, a window empty or above WINDOW_MAX."""
    known = yield SQL("channels")
    channels = [row["id"] for row in known if row["name"] == query.channel]
    if not channels and query.channel != BILLED_CHANNEL:
        raise invalid(
            "/query/channel", f"no meter has told {query.channel!r} yet; /v1/channels lists others"
        )
    newest = (yield SQL("newest_interval", channels=channels))[0]["newest"]
    end = query.period_to or (newest or now) - timedelta(seconds=query.grace_s)
    start = query.period_from or end - WINDOW
    if not timedelta(0) < end - start <= WINDOW_MAX:
        raise invalid(
            "/query/period_from", f"the window must be above 0 and at most {WINDOW_MAX.days} days"
        )
    rows = yield SQL(
        "read_success",
        tenant_id=tenant_id,
        channels=channels,
        period_from=start,
        period_to=end,
        limit=max(query.worst, 1),
    )
    return _report(rows, start, end, newest, query)


def _report(
    rows: list[Row],
    start: datetime,
    end: datetime,
    newest: datetime | None,
    query: ReadSuccessQuery,
) -> views.ReadSuccess:
    total = rows[0] if rows else dict.fromkeys(_TOTALS, 0)
    expected, stored = total["expected_all"], total["stored_all"]
    return views.ReadSuccess(
        period_from=start,
        period_to=end,
        newest=newest,
        channel=query.channel,
        meters=total["meters"],
        meters_not_counted=total["meters_not_counted"],
        expected=expected,
        stored=stored,
        ratio_ppm=stored * 1_000_000 // expected if expected else None,
        worst=[
            views.MeterReadSuccess(row["meter"], row["interval_s"], row["expected"], row["stored"])
            for row in rows[: query.worst]
            if row["stored"] < row["expected"]
        ],
    )


_TOTALS = ("meters", "meters_not_counted", "expected_all", "stored_all")
