"""Users, API keys, sessions and set-up links, as plans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headend.security.roles import SCOPES, Permission, Principal, Role, of_role, of_scopes
from headend.security.secrets import digest, new_key, new_token
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import AccessError, Conflict

if TYPE_CHECKING:
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.security", "people.sql")
SESSION_LIFE: Final = timedelta(hours=12)
LINK_LIFE: Final = timedelta(hours=24)
USER_NAME: Final = re.compile(r"[A-Za-z0-9_.@+-]{1,120}")
FIRST_USER: Final = "admin"
FIRST_KEY: Final = "operator"


@dataclass(frozen=True, slots=True)
class Login:
    """A user as the sign-in needs it; `user_id`: key of ohmesh.app_user."""

    user_id: int
    tenant_id: int
    name: str
    password_hash: str | None


def key_principal(shown: bytes) -> Plan[Principal | None]:
    """Who has the key with this digest."""
    row = first((yield SQL("key_of", digest=shown)))
    if row is None:
        return None
    return Principal(row["name"], row["tenant_id"], of_scopes(row["scopes"]), row["person"])


def find_key(shown: bytes) -> Plan[tuple[int, int, str] | None]:
    """Tenant, number and name of the key with this digest."""
    row = first((yield SQL("key_of", digest=shown)))
    return None if row is None else (row["tenant_id"], row["key_id"], row["name"])


def session_principal(shown: bytes) -> Plan[Principal | None]:
    """Who has the session with this digest."""
    row = first((yield SQL("session_of", digest=shown)))
    if row is None:
        return None
    if row["user_name"] is not None:
        name = row["user_name"]
        return Principal(name, row["tenant_id"], of_role(row["role"]), name)
    return Principal(row["key_name"], row["tenant_id"], of_scopes(row["scopes"]), row["person"])


def find_login(name: str) -> Plan[Login | None]:
    """The user of a name, of whatever tenant."""
    row = first((yield SQL("user_of", name=name)))
    if row is None:
        return None
    return Login(row["user_id"], row["tenant_id"], row["name"], row["password_hash"])


def open_session(
    tenant_id: int, now: datetime, *, user_id: int | None = None, key_id: int | None = None
) -> Plan[str]:
    """A session for a user or a key. Returns: the cookie's value, kept nowhere."""
    secret = new_token()
    yield SQL("end_sessions", tenant_id=tenant_id, user_id=None)
    yield SQL(
        "insert_session",
        digest=digest(secret),
        tenant_id=tenant_id,
        user_id=user_id,
        key_id=key_id,
        expires_at=now + SESSION_LIFE,
    )
    return secret


def close_session(tenant_id: int, secret: str) -> Plan[None]:
    """End a session now."""
    yield SQL("end_session", tenant_id=tenant_id, digest=digest(secret))


def add_user(tenant_id: int, name: str, role: Role, by: Principal, now: datetime) -> Plan[str]:
    """Add a user, who chooses a password by a link.

    Returns: the link's secret. Raises: Conflict: the name is taken. AccessError: above oneself.
    """
    _check_within(of_role(role), by)
    row = yield SQL("insert_user", tenant_id=tenant_id, name=name, role=role, subject=None)
    if not row:
        raise Conflict(f"the user name {name} is taken")
    return (yield from _link(tenant_id, row[0]["id"], now))


def renew_link(tenant_id: int, name: str, by: Principal, now: datetime) -> Plan[str]:
    """A new link for a user who has lost the password; the old password works until it is used.

    Returns: the link's secret. Raises: AccessError: unknown_user, above oneself.
    """
    row = yield from _find_user(tenant_id, name)
    _check_within(of_role(row["role"]), by)
    if row["external"]:
        raise AccessError("external", f"{name} signs in at the OpenID provider")
    return (yield from _link(tenant_id, row["id"], now))


def change_user(
    tenant_id: int, name: str, *, role: Role | None, disabled: bool | None, by: Principal
) -> Plan[None]:
    """Give another role, disable or enable; their sessions end.

    Raises: AccessError: unknown_user; own_account, so that nobody locks the last door from inside;
        above oneself.
    """
    row = yield from _find_user(tenant_id, name)
    if by.person == name:
        raise AccessError("own_account", "another administrator must change this account")
    _check_within(of_role(role or row["role"]) | of_role(row["role"]), by)
    yield SQL("change_user", tenant_id=tenant_id, id=row["id"], role=role, disabled=disabled)
    yield SQL("end_sessions", tenant_id=tenant_id, user_id=row["id"])


def use_link(secret: str, password_hash: str) -> Plan[str | None]:
    """Choose a password by a link, in a transaction of the link's tenant; sessions end.

    Returns: the user's name; None when the link is unknown, used or too old.
    """
    row = first((yield SQL("user_of_link", digest=digest(secret))))
    if row is None:
        return None
    tenant_id, user_id = row["tenant_id"], row["user_id"]
    if not (yield SQL("use_link", tenant_id=tenant_id, digest=digest(secret))):
        return None  # somebody else was quicker
    yield SQL("set_password", tenant_id=tenant_id, user_id=user_id, password_hash=password_hash)
    yield SQL("end_sessions", tenant_id=tenant_id, user_id=user_id)
    return str(row["name"])


def link_tenant(secret: str) -> Plan[int | None]:
    """Whose link it is; None when it is unknown, used or too old."""
    row = first((yield SQL("user_of_link", digest=digest(secret))))
    return None if row is None else int(row["tenant_id"])


def first_link(tenant_id: int, now: datetime) -> Plan[str | None]:
    """While no user can sign in: a link that makes the first administrator; else None."""
    if (yield SQL("knows_users"))[0]["found"]:
        return None
    yield SQL(
        "insert_user", tenant_id=tenant_id, name=FIRST_USER, role=Role.ADMIN.value, subject=None
    )
    row = yield from _find_user(tenant_id, FIRST_USER)
    return (yield from _link(tenant_id, row["id"], now))


def external_user(tenant_id: int, name: str, role: Role, subject: str) -> Plan[int]:
    """The user of an OpenID subject, made, or given today's role.

    Returns: its number in the store.
    Raises: Conflict: another user has the name. AccessError: disabled here, or a bad name.
    """
    if USER_NAME.fullmatch(name) is None:
        raise AccessError("oidc_name", "the OpenID provider gives a name that cannot be one here")
    row = first((yield SQL("user_of_subject", subject=subject)))
    if row is None:
        made = yield SQL("insert_user", tenant_id=tenant_id, name=name, role=role, subject=subject)
        if not made:
            raise Conflict(f"the user name {name} is taken")
        return int(made[0]["id"])
    if row["disabled"] or row["tenant_id"] != tenant_id:
        raise AccessError("disabled", f"the user {name} is disabled here")
    yield SQL("change_user", tenant_id=tenant_id, id=row["user_id"], role=role, disabled=None)
    return int(row["user_id"])


def add_key(
    tenant_id: int, name: str, scopes: list[Permission], expires_at: datetime | None, by: Principal
) -> Plan[str]:
    """Make an API key. Returns: the key, which is shown once and kept nowhere.

    Raises: Conflict: the name is taken. AccessError: a scope that the maker does not have.
    """
    _check_within(frozenset(scopes), by)
    secret = new_key()
    made = yield SQL(
        "insert_key",
        tenant_id=tenant_id,
        name=name,
        digest=digest(secret),
        scopes=sorted(scopes),
        person=by.person or by.name,
        expires_at=expires_at,
    )
    if not made:
        raise Conflict(f"a key named {name} is there; revoke it first")
    return secret


def revoke_key(tenant_id: int, name: str) -> Plan[None]:
    """End a key. Raises AccessError(unknown_key)."""
    if not (yield SQL("revoke_key", tenant_id=tenant_id, name=name)):
        raise AccessError("unknown_key", f"there is no key {name}")


def keep_first_key(tenant_id: int, token: str) -> Plan[None]:
    """Let the token of `api.token_file` be a key with every scope.

    A new token takes the place of the old one; one that was revoked stays revoked.
    """
    made = SQL(
        "insert_key",
        tenant_id=tenant_id,
        name=FIRST_KEY,
        digest=digest(token),
        scopes=sorted(SCOPES),
        person=FIRST_KEY,
        expires_at=None,
    )
    if (yield SQL("find_digest", tenant_id=tenant_id, digest=digest(token))) or (yield made):
        return
    yield SQL("revoke_key", tenant_id=tenant_id, name=FIRST_KEY)
    yield made


def _find_user(tenant_id: int, name: str) -> Plan[Row]:
    row = first((yield SQL("find_user", tenant_id=tenant_id, name=name)))
    if row is None:
        raise AccessError("unknown_user", f"there is no user {name}")
    return row


def _link(tenant_id: int, user_id: object, now: datetime) -> Plan[str]:
    secret = new_token()
    yield SQL("drop_links", tenant_id=tenant_id, user_id=user_id)
    yield SQL(
        "insert_link",
        digest=digest(secret),
        tenant_id=tenant_id,
        user_id=user_id,
        expires_at=now + LINK_LIFE,
    )
    return secret


def _check_within(wanted: frozenset[Permission], by: Principal) -> None:
    beyond = sorted(wanted - by.permissions)
    if beyond:
        raise AccessError("beyond_own", f"you do not have {', '.join(beyond)} yourself")
