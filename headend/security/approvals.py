"""Two people for one deed: mass commands and adjustments wait for a second person, as plans.

Theory of operation. Such a request is refused the first time and stands as an approval that is
bound to exactly its method, path, body and idempotency key. A second person, who must be another
one than the first (of an API key the person is who made it), reads it and decides. Then the first
sends the same request again. Sent more than once it has one effect, by its idempotency key, so an
approval need not be used up; it ends after a day.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import AccessError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headend.security.roles import Principal
    from headend.store.plan import Row

SQL: Final = Queries("headend.security", "approvals.sql")
LIFE: Final = timedelta(hours=24)
SHOWN_CHARACTERS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that needs a second person."""

    operation: str
    method: str
    path: str
    body: bytes
    idempotency_key: str

    @property
    def digest(self) -> bytes:
        """Of everything that the second person approves."""
        found = hashlib.sha256()
        for part in (self.method, self.path, self.idempotency_key):
            found.update(part.encode("utf-8", "surrogatepass") + b"\0")
        found.update(self.body)
        return found.digest()

    @property
    def shown(self) -> str:
        """What the second person reads."""
        body = self.body.decode("utf-8", "replace").replace("\0", "")
        return f"{self.method} {self.path}\n{body}"[:SHOWN_CHARACTERS_MAX]


def ask(tenant_id: int, wish: Wish, who: Principal, now: datetime) -> Plan[Row]:
    """The approval of a wish, made when there is none yet."""
    yield SQL(
        "ask",
        tenant_id=tenant_id,
        operation=wish.operation,
        request=wish.shown,
        digest=wish.digest,
        person=who.person or who.name,
        expires_at=now + LIFE,
    )
    row = first((yield SQL("find", tenant_id=tenant_id, digest=wish.digest)))
    assert row is not None
    return row


def is_approved(row: Row, now: datetime) -> bool:
    """Whether a second person has agreed, and not too long ago."""
    return bool(row["approved"]) and now < row["expires_at"]


def decide(
    tenant_id: int, approval_id: UUID, who: Principal, now: datetime, *, approved: bool
) -> Plan[Row]:
    """Approve or refuse.

    Raises: AccessError: unknown_approval; same_person; decided, or too old.
    """
    row = first((yield SQL("one", tenant_id=tenant_id, id=approval_id)))
    if row is None:
        raise AccessError("unknown_approval", f"there is no approval {approval_id}")
    person = who.person or who.name
    if row["requested_by"] == person:
        raise AccessError("same_person", "who asked cannot approve; a second person must")
    values = {"tenant_id": tenant_id, "id": approval_id, "person": person, "now": now}
    if not (yield SQL("decide", **values, approved=approved)):
        raise AccessError("decided", "it is decided already, or too old")
    decided = first((yield SQL("one", tenant_id=tenant_id, id=approval_id)))
    assert decided is not None
    return decided
