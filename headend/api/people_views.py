"""What the API answers about users, keys, approvals and the audit log."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from headend.api.views import Instant, View


class Me(View, frozen=True):
    """Who you are here and what you may do."""

    name: str
    person: str
    permissions: list[str]


class AccessToken(View, frozen=True):
    """A token for the header `Authorization: Bearer`, good for `expires_in` seconds."""

    access_token: str
    token_type: str
    expires_in: int


class User(View, frozen=True):
    """Somebody who may sign in. `external`: at the OpenID provider, which names the role."""

    user: str
    role: str
    created_at: Instant
    disabled_at: Instant | None
    external: bool


class SetupLink(View, frozen=True):
    """A path of this server where the user chooses a password; it works once, for a day."""

    user: str
    path: str


class Key(View, frozen=True):
    """An API key, which is itself kept nowhere. `person`: who made it."""

    key: str
    scopes: list[str]
    person: str
    created_at: Instant
    expires_at: Instant | None


class NewKey(View, frozen=True):
    """A new API key. `secret` is shown here and never again."""

    key: str
    secret: str
    scopes: list[str]
    expires_at: Instant | None


class Approval(View, frozen=True):
    """A request that waits for a second person. `approved`: null while nobody has decided."""

    id: UUID
    operation: str
    request: str
    requested_by: str
    requested_at: Instant
    expires_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    approved: bool | None


class AuditEntry(View, frozen=True):
    """Who changed what; `hash` chains it to all entries before."""

    seq: int
    at: Instant
    who: str
    action: str
    target: str
    detail: str
    hash: str


PAGED: Final = (User, Key, Approval, AuditEntry)
KINDS: Final = (*PAGED, Me, AccessToken, SetupLink, NewKey)
