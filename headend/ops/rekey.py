"""`ohmesh headend rekey`: everything under the key-encryption key, sealed with the newest one.

Programs go on meanwhile: they open with every key of the file, and a value that somebody changes
between our look and our write keeps theirs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from headend.store import db
from headend.store.plan import Queries
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from headend.keystore import Keystore
    from headend.store.db import Connection

SQL: Final = Queries("headend.ops", "rekey.sql")
PLACES: Final = (
    "meter_keys",
    "market_keys",
    "next_keys",
    "former_keys",
    "key_changes",
    "webhook_secrets",
    "tokens",
    "paygo_devices",
    "paygo_tokens",
    "payment_channels",
)
"""Where the store keeps something sealed; a statement `NAME` finds it, `set_NAME` writes it."""
BATCH_ROWS: Final = 2000


@dataclass(slots=True)
class Count:
    """What became of one place's values.

    Attributes:
        found: values that are there.
        anew: sealed anew.
        unreadable: opened by no key of the file; left as they are.
    """

    found: int = 0
    anew: int = 0
    unreadable: int = 0


def rekey(owner: Connection, keystore: Keystore) -> dict[str, Count]:
    """Seal all anew that the newest key has not sealed.

    Args:
        owner: connection of ohmesh_owner, in autocommit.
        keystore: of the file with the new key in front and the older ones behind it.

    Returns: counts by place. A second run finds nothing to do. Raises: StoreError.
    """
    counts = {place: _place(owner, keystore, place) for place in PLACES}
    detail = json.dumps({place: asdict(count) for place, count in counts.items()})
    with db.transaction(owner):
        db.see_tenant(owner, db.OPERATOR_TENANT)
        db.rows(owner, SQL("audit", tenant=db.OPERATOR_TENANT, detail=detail))
    return counts


def _place(owner: Connection, keystore: Keystore, place: str) -> Count:
    count, changes = Count(), []
    for row in db.rows(owner, SQL(place, key_change=CommandKind.KEY_CHANGE.value)):
        count.found += 1
        old = bytes(row["sealed"])
        try:
            anew = keystore.seal_anew(row["name"], old)
        except ConfigError:
            count.unreadable += 1
            continue
        if anew is not None:
            changes.append((row["id"], old, anew))
    for first in range(0, len(changes), BATCH_ROWS):
        ids, olds, news = zip(*changes[first : first + BATCH_ROWS], strict=True)
        count.anew += db.execute(
            owner, SQL(f"set_{place}", ids=list(ids), old=list(olds), anew=list(news))
        )
    return count
