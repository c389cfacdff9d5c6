"""What a program refuses to work on: a role with too many rights, a server that may forget.

Row-level security means nothing to a superuser, a BYPASSRLS role or (without FORCE) a table's
owner, and a commit means nothing when the server does not write it down.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headend.store import db
from headend.store.plan import Queries
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headend.store.db import Connection
    from headend.store.plan import Row

_log = logging.getLogger(__name__)
SQL: Final = Queries("headend.store", "guard.sql")
_REFUSED: Final = ("fsync", "full_page_writes", "synchronous_commit")


def check(connection: Connection) -> None:
    """Refuse a dangerous role or server. Raises ConfigError."""
    check_role(db.rows(connection, SQL("role"))[0])
    check_durability({r["name"]: r["setting"] for r in db.rows(connection, SQL("durability"))})


def check_role(role: Row) -> None:
    """Raises ConfigError for a role that row-level security does not bind."""
    faults = {
        "superuser": "is a superuser",
        "bypasses": "has BYPASSRLS",
        "owns": "owns the tables",
    }
    for field, fault in faults.items():
        if role[field]:
            raise ConfigError(
                f"the database role {role['name']} {fault}: row-level security would not bind it; "
                "use the roles that 'ohmesh headend bootstrap' makes"
            )


def check_durability(settings: Mapping[str, str]) -> None:
    """Raises ConfigError when the server may forget commits; warns without page checksums."""
    for name in _REFUSED:
        if settings[name] == "off":
            raise ConfigError(
                f"the database server runs with {name} = off: it would lose committed readings "
                "in a power cut; switch it on"
            )
    if settings["data_checksums"] == "off":
        _log.warning("the database server has no page checksums: damage would go unseen")
