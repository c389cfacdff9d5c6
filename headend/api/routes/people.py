"""Users, keys, approvals, the audit log, and who is asking."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from headend.api import people_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import Body, Id, Instant, PageQuery, Text
from headend.api.problems import invalid, not_found
from headend.api.services import Caller, Parts
from headend.api.views import View
from headend.security import approvals, audit, people
from headend.security.access_token import LIFE_S
from headend.security.roles import SCOPES, Permission, Role
from headend.store.plan import single

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services

router = APIRouter(prefix="/v1", tags=["people"])
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@+-]{1,120}$")]


def _is_scope(value: Permission) -> Permission:
    if value not in SCOPES:
        raise ValueError("this is no scope: every key may do it")
    return value


Scope = Annotated[
    Permission,
    AfterValidator(_is_scope),
    WithJsonSchema({"type": "string", "enum": sorted(SCOPES)}),
]
_NAME_MAX = 200
_ALWAYS = (401, 403, 422, 429, 503)


class AddUser(Body):
    """Somebody who may sign in from now on. They choose a password by the link that is answered."""

    user: UserName
    role: Role


class ChangeUser(Body):
    """What shall be otherwise; what is not named stays. Their sessions end."""

    role: Role | None = None
    disabled: Annotated[bool, Field(strict=True)] | None = None


class AddKey(Body):
    """A key for a program, with the permissions it needs and no more."""

    key: Id
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=50)]
    expires_at: Instant | None = None


class Decide(Body):
    """What the second person says."""

    approved: Annotated[bool, Field(strict=True)]


class AuditQuery(PageQuery):
    """Filters of the audit log."""

    who: Text | None = None


@router.get("/me", responses=documented("Me", only=_ALWAYS))
async def me(who: Caller) -> Response:
    """Say who you are and what you may do."""
    return answer(views.Me(who.name, who.person or who.name, sorted(who.permissions)))


@router.post("/me/access-token", responses=documented("AccessToken", only=_ALWAYS))
async def issue_access_token(parts: Parts, who: Caller) -> Response:
    """Make a token of five minutes with your permissions, for a program that holds no key."""
    token = parts.access.access_tokens.issue(who, int(time.time()))
    return answer(views.AccessToken(token, "Bearer", LIFE_S))


@router.get("/users", responses=documented("UserPage", files=True))
@also_as_files(views.User)
async def list_users(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List users in the order of their names."""
    return await _named(request, parts, who, query=query, kind=views.User)


async def _named(
    request: Request, parts: Services, who: Principal, *, query: PageQuery, kind: type[View]
) -> Response:
    field = kind.__name__.lower()
    name = f"{field}s"
    scope = query.scope(name, tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    ask = people.SQL(name, tenant_id=who.tenant_id, after=after, name=None, limit=pager.limit)
    rows = await parts.store.run(who.tenant_id, single(ask))
    return pager.page(rows, lambda row: kind(**row), lambda row: (row[field],))


@router.post(
    "/users", status_code=201, responses=documented("SetupLink", created=201, repeats=False)
)
async def add_user(parts: Parts, who: Caller, body: AddUser) -> Response:
    """Add a user. The answer has the link by which they choose a password."""
    plan = people.add_user(who.tenant_id, body.user, body.role, who, parts.now())
    return _link(body.user, await parts.store.run(who.tenant_id, plan))


def _link(user: str, secret: str) -> Response:
    return answer(views.SetupLink(user, f"/setup?link={secret}"), 201)


@router.get("/users/{user}", responses=documented("User"))
async def get_user(parts: Parts, who: Caller, user: str) -> Response:
    """One user."""
    return answer(await _user(parts, who, user))


async def _user(parts: Services, who: Principal, user: str) -> views.User:
    name = _known_name("user", user)
    ask = people.SQL("users", tenant_id=who.tenant_id, after="", name=name, limit=1)
    rows = await parts.store.run(who.tenant_id, single(ask))
    if not rows:
        raise not_found("user", user)
    return views.User(**rows[0])


def _known_name(what: str, name: str) -> str:
    """A name that the database can look for. Raises Problem(not-found)."""
    if "\0" in name or len(name) > _NAME_MAX or not name.isprintable():
        raise not_found(what, name[:_NAME_MAX])
    return name


@router.patch("/users/{user}", responses=documented("User"))
async def change_user(parts: Parts, who: Caller, user: str, body: ChangeUser) -> Response:
    """Give a user another role, or disable or enable them. Nobody changes their own account."""
    plan = people.change_user(
        who.tenant_id, _known_name("user", user), role=body.role, disabled=body.disabled, by=who
    )
    await parts.store.run(who.tenant_id, plan)
    parts.access.forget()
    return answer(await _user(parts, who, user))


@router.post(
    "/users/{user}/setup-link",
    status_code=201,
    responses=documented("SetupLink", created=201, repeats=False),
)
async def renew_setup_link(parts: Parts, who: Caller, user: str) -> Response:
    """Make a new link for a user who has lost the password. The link before is void."""
    plan = people.renew_link(who.tenant_id, _known_name("user", user), who, parts.now())
    return _link(user, await parts.store.run(who.tenant_id, plan))


@router.get("/keys", responses=documented("KeyPage", files=True))
@also_as_files(views.Key)
async def list_keys(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List API keys that are not revoked, in the order of their names."""
    return await _named(request, parts, who, query=query, kind=views.Key)


@router.post("/keys", status_code=201, responses=documented("NewKey", created=201, repeats=False))
async def add_key(parts: Parts, who: Caller, body: AddKey) -> Response:
    """Make an API key. It is shown once; a repeat with the same name is refused."""
    if body.expires_at is not None and body.expires_at <= parts.now():
        raise invalid("/body/expires_at", "the key would have expired already")
    scopes = sorted(set(body.scopes))
    plan = people.add_key(who.tenant_id, body.key, scopes, body.expires_at, who)
    secret = await parts.store.run(who.tenant_id, plan)
    return answer(views.NewKey(body.key, secret, list(scopes), body.expires_at), 201)


@router.delete("/keys/{key}", status_code=204, responses=documented("", only=(*_ALWAYS, 404)))
async def revoke_key(parts: Parts, who: Caller, key: str) -> Response:
    """Revoke an API key. It is dead at once here, and within 5 s at other processes."""
    await parts.store.run(who.tenant_id, people.revoke_key(who.tenant_id, _known_name("key", key)))
    parts.access.forget()
    return Response(status_code=204)


@router.get("/approvals", responses=documented("ApprovalPage", files=True))
@also_as_files(views.Approval)
async def list_approvals(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List requests that need or needed a second person, newest first."""
    scope = query.scope("approvals", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    before, last = pager.behind(tuple[datetime, UUID], (None, None))
    ask = approvals.SQL(
        "list", tenant_id=who.tenant_id, before=before, before_id=last, limit=pager.limit
    )
    rows = await parts.store.run(who.tenant_id, single(ask))
    return pager.page(
        rows, lambda row: views.Approval(**row), lambda row: (row["requested_at"], row["id"])
    )


@router.post("/approvals/{approval}", responses=documented("Approval"))
async def decide_approval(parts: Parts, who: Caller, approval: UUID, body: Decide) -> Response:
    """Approve or refuse what another person has asked for."""
    plan = approvals.decide(who.tenant_id, approval, who, parts.now(), approved=body.approved)
    return answer(views.Approval(**await parts.store.run(who.tenant_id, plan)))


@router.get("/audit", responses=documented("AuditEntryPage", files=True))
@also_as_files(views.AuditEntry)
async def list_audit(
    request: Request, parts: Parts, who: Caller, query: Annotated[AuditQuery, Query()]
) -> Response:
    """List who changed what, newest first. `ohmesh headend audit verify` checks the chain."""
    scope = query.scope("audit", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    ask = audit.SQL(
        "entries", tenant_id=who.tenant_id, before=before, who=query.who, limit=pager.limit
    )
    rows = await parts.store.run(who.tenant_id, single(ask))
    return pager.page(rows, lambda row: views.AuditEntry(**row), lambda row: (row["seq"],))
