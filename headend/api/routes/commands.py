"""Commands to meters: ask, follow, cancel."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, accepted, answer, documented
from headend.api.command_bodies import Parameters, body_of, check, read_back
from headend.api.export.lists import also_as_files
from headend.api.fields import Id, IdempotencyKey, Instant, Integer, PageQuery
from headend.api.permissions import demand_also
from headend.api.problems import invalid, not_found
from headend.api.routes.meters import relay_name
from headend.api.services import Caller, Parts
from headend.security.roles import Permission
from headend.service.commands import CommandRecord, NewCommand, cancel_command
from headend.service.orders import order_command
from ohmesh.model.command import CommandKind, CommandState, ResultStatus

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1/commands", tags=["commands"])
_KINDS = {kind.name.lower(): kind for kind in CommandKind}
KindName = Literal[
    "relay_read",
    "relay_off",
    "relay_on",
    "read_now",
    "clock_set",
    "load_profile_read",
    "tariff_set",
    "token_enter",
    "key_change",
    "firmware",
]
SWITCHES = frozenset({CommandKind.RELAY_ON, CommandKind.RELAY_OFF})
OVERHAULS = frozenset({CommandKind.KEY_CHANGE, CommandKind.FIRMWARE})
"""Kinds that make another meter of it: whoever asks may change the fleet too."""
VALID_S_DEFAULT = 900


class CommandQuery(PageQuery):
    """Filters of the list of commands."""

    meter: Id | None = None
    state: CommandState | None = None


class AskCommand(Parameters):
    """What a meter shall do, and until when: `not_after`, or `valid_s` from now (default 900).

    A load_profile_read needs `period_from` and `period_to`, a tariff_set `tariff`, a token_enter
    `token`, and a firmware the name of one.
    """

    meter: Id
    kind: KindName
    argument: Integer = 0
    not_after: Instant | None = None
    valid_s: Annotated[int, Field(strict=True, ge=1, le=7 * 86_400)] | None = None


def command_view(row: Row) -> views.Command:
    """A row of the query `commands`."""
    kind, result, relay = CommandKind(row["kind"]), row["result"], row["relay"]
    status = None if result is None else ResultStatus(result)
    proof = row["proof"]
    return views.Command(
        **{
            **{name: value for name, value in row.items() if name != "proof"},
            "kind": kind.name.lower(),
            "result": None if status is None else status.name.lower(),
            "read_back": read_back(kind, status, None if proof is None else bytes(proof)),
            "relay": None if relay is None else relay_name(relay),
        }
    )


async def find_commands(
    parts: Services,
    who: Principal,
    *,
    limit: int,
    one: UUID | None = None,
    meter: str | None = None,
    state: str | None = None,
    before: tuple[datetime | None, UUID | None] = (None, None),
) -> list[Row]:
    """Rows of the query `commands`, newest first."""
    return await parts.rows(
        who.tenant_id,
        "commands",
        id=one,
        meter=meter,
        state=state,
        before_at=before[0],
        before_id=before[1],
        limit=limit,
    )


@router.get("", responses=documented("CommandPage", files=True))
@also_as_files(views.Command)
async def list_commands(
    request: Request, parts: Parts, who: Caller, query: Annotated[CommandQuery, Query()]
) -> Response:
    """List commands, newest first."""
    scope = query.scope("commands", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    before = pager.behind(tuple[datetime, UUID], (None, None))
    rows = await find_commands(
        parts, who, meter=query.meter, state=query.state, before=before, limit=pager.limit
    )
    return pager.page(rows, command_view, lambda row: (row["created_at"], row["id"]))


@router.post(
    "", status_code=202, responses=documented("CommandReceipt", created=202), name="send_command"
)
async def ask(
    request: Request, parts: Parts, who: Caller, body: AskCommand, idempotency_key: IdempotencyKey
) -> Response:
    """Queue a command. The answer says that it was accepted; follow it at `/v1/commands/{id}`."""
    now = parts.now()
    if body.not_after and body.valid_s:
        raise invalid("/body/valid_s", "give not_after or valid_s, not both")
    kind = _KINDS[body.kind]
    if kind in SWITCHES:
        await demand_also(request, who, Permission.SUPPLY_SWITCH)
    if kind in OVERHAULS:
        await demand_also(request, who, Permission.FLEET_WRITE)
    check(kind, body)
    if body.argument and kind is CommandKind.CLOCK_SET:
        raise invalid("/body/argument", "the clock is set to the time of the sending")
    wish = NewCommand(
        meter=body.meter,
        kind=kind,
        not_after=body.not_after or now + timedelta(seconds=body.valid_s or VALID_S_DEFAULT),
        idempotency_key=idempotency_key,
        requested_by=who.name,
        argument=body.argument,
    )
    made = await parts.store.run(who.tenant_id, _order(wish, body, who.tenant_id, parts))
    receipt = views.CommandReceipt(
        id=made.id,
        meter=made.meter,
        kind=made.kind.name.lower(),
        argument=made.argument,
        not_after=made.not_after,
        created_at=made.created_at,
    )
    return accepted(receipt, replayed=made.replayed, status=202)


def _order(
    request: NewCommand, given: Parameters, tenant_id: int, parts: Services
) -> Plan[CommandRecord]:
    octets = yield from body_of(request.kind, given, request.meter, tenant_id, parts)
    return (yield from order_command(tenant_id, replace(request, body=octets), parts.now()))


@router.get("/{command}", responses=documented("Command"))
async def get_command(parts: Parts, who: Caller, command: UUID) -> Response:
    """One command and where it is."""
    rows = await find_commands(parts, who, one=command, limit=1)
    if not rows:
        raise not_found("command", str(command))
    return answer(command_view(rows[0]))


@router.post("/{command}/cancel", responses=documented("Command"), name="cancel_command")
async def cancel(parts: Parts, who: Caller, command: UUID) -> Response:
    """Cancel a command that was not sent yet; one that was sent or has ended is refused."""
    await parts.store.run(who.tenant_id, cancel_command(who.tenant_id, command, parts.now()))
    return await get_command(parts, who, command)
