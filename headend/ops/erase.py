"""`ohmesh headend erase`: forget what a meter has told, when the law or its home wants it so.

Readings, intervals, telegrams, events and what was made of them go; the meter's registration, its
account and the ledger stay. One transaction, with its line in the tenant's audit log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from headend.store import db
from headend.store.plan import Queries
from ohmesh.model.errors import Conflict, ModelError

if TYPE_CHECKING:
    from headend.store.db import Connection

SQL: Final = Queries("headend.ops", "erase.sql")


def erase(owner: Connection, meter: str, *, who: str, force: bool = False) -> dict[str, int]:
    """Erase a meter's data.

    Args:
        owner: connection of ohmesh_owner, in autocommit.
        meter: its id.
        who: for the audit log.
        force: even what billing still needs.

    Returns: rows erased by table. Raises: ModelError: no such meter. Conflict: billing needs it.
    """
    with db.transaction(owner):
        found = db.rows(owner, SQL("meter", name=meter))
        if not found:
            raise ModelError(f"no meter {meter!r}")
        known = found[0]
        if not force and (known["has_account"] or not known["billed"]):
            reason = "has an account" if known["has_account"] else "has readings that nobody billed"
            raise Conflict(f"the meter {meter} {reason}; --force erases them all the same")
        counts = {
            r["relation"]: r["erased"] for r in db.rows(owner, SQL("erase", meter=known["id"]))
        }
        db.see_tenant(owner, known["tenant_id"])
        detail = json.dumps({"force": force, "rows": sum(counts.values())})
        db.rows(owner, SQL("audit", who=who, target=meter, detail=detail))
    return counts
