"""Roles and what each may do: one table. Pure.

Theory of operation. Every operation of the API and of the pages needs one permission
(`headend.api.permissions`). A person has a role, and a role has permissions; an API key has its
permissions by name, as scopes. Nobody can hand out a permission that they do not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What an operation may need; also the names of an API key's scopes."""

    OPEN = "open"
    """Nobody need be known: health, the sign-in page."""
    SELF = "self"
    """Anybody who is known, about themselves."""
    FLEET_READ = "fleet:read"
    FLEET_WRITE = "fleet:write"
    COMMAND_SEND = "command:send"
    SUPPLY_SWITCH = "supply:switch"
    MONEY_READ = "money:read"
    MONEY_SETUP = "money:setup"
    MONEY_VEND = "money:vend"
    MONEY_ADJUST = "money:adjust"
    DATA_EDIT = "data:edit"
    APPROVE = "approve"
    USERS = "users"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"
    """What no other permission covers; an operation that names none needs this one."""


class Role(StrEnum):
    """What a person is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    VENDING_CLERK = "vending_clerk"
    ENGINEER = "engineer"
    ADMIN = "admin"
    AUDITOR = "auditor"


_EVERYBODY: Final = frozenset({Permission.OPEN, Permission.SELF})
_READS: Final = frozenset({Permission.FLEET_READ, Permission.MONEY_READ})
PERMISSIONS: Final = {
    Role.VIEWER: _EVERYBODY | _READS,
    Role.OPERATOR: _EVERYBODY
    | _READS
    | {
        Permission.FLEET_WRITE,
        Permission.COMMAND_SEND,
        Permission.SUPPLY_SWITCH,
        Permission.DATA_EDIT,
        Permission.APPROVE,
    },
    Role.VENDING_CLERK: _EVERYBODY | _READS | {Permission.MONEY_VEND},
    Role.ENGINEER: _EVERYBODY | _READS | {Permission.FLEET_WRITE, Permission.COMMAND_SEND},
    Role.ADMIN: frozenset(Permission),
    Role.AUDITOR: _EVERYBODY | _READS | {Permission.AUDIT_READ},
}
NOBODY: Final = frozenset({Permission.OPEN}) | _READS
"""On loopback, without a token, where `api.open_reads` is set."""
SCOPES: Final = frozenset(Permission) - _EVERYBODY
"""What an API key may be given; it may always do what everybody may."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody the server knows.

    Attributes:
        name: stands in `requested_by` of what they do, and in the audit log.
        tenant_id: whose data they see, a key of ohmesh.tenant.
        permissions: what they may do.
        person: who stands behind: of a key the one who made it. Two people are two of these.
    """

    name: str
    tenant_id: int
    permissions: frozenset[Permission]
    person: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether they may do what needs this permission."""
        return permission in self.permissions


def of_scopes(scopes: list[str]) -> frozenset[Permission]:
    """The permissions of a key; a scope that this program does not know gives none."""
    known = {p.value for p in SCOPES}
    return _EVERYBODY | {Permission(scope) for scope in scopes if scope in known}


def of_role(role: str) -> frozenset[Permission]:
    """The permissions of a role's name; a role that this program does not know has none."""
    return PERMISSIONS[Role(role)] if role in set(Role) else frozenset()
