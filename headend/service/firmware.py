"""Firmware images as the API takes them; meters get them in blocks by `headend.commands`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import CommandError, Conflict
from ohmesh.wire.commandbody import IMAGE_MAX_BYTES, Offer
from ohmesh.wire.firmware import version_of

if TYPE_CHECKING:
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "firmware.sql")


@dataclass(frozen=True, slots=True)
class Firmware:
    """An image that meters can be offered; `replayed`: it was there already."""

    name: str
    version: int
    size: int
    sha256: bytes
    added_at: datetime
    replayed: bool = False

    @property
    def offer(self) -> Offer:
        """What a meter is told of it."""
        return Offer(self.version, self.size, self.sha256)


def add_firmware(
    tenant_id: int, name: str, image: bytes, added_by: str, now: datetime
) -> Plan[Firmware]:
    """Keep an image. Its signature is the meters' to check: they hold their maker's key.

    Raises:
        CommandError: `image`, it is none or too large.
        Malformed: it is none.
        Conflict: the name belongs to another image.
    """
    version = version_of(image)
    if len(image) > IMAGE_MAX_BYTES:
        raise CommandError("image", f"{len(image)} bytes; an image has {IMAGE_MAX_BYTES} at most")
    offer = Offer.of(version, image)
    made = yield SQL(
        "add_firmware",
        tenant_id=tenant_id,
        name=name,
        version=version,
        sha256=offer.sha256,
        image=image,
        added_by=added_by,
        now=now,
    )
    found = _firmware((yield SQL("find_firmware", tenant_id=tenant_id, name=name))[0], not made)
    if found.sha256 != offer.sha256:
        raise Conflict(f"the name {name} belongs to another image")
    return found


def list_firmware(tenant_id: int, after: str, limit: int) -> Plan[list[Firmware]]:
    """Images by name, behind `after`."""
    rows = yield SQL("list_firmware", tenant_id=tenant_id, after=after, limit=limit)
    return [_firmware(row) for row in rows]


def find_firmware(tenant_id: int, name: str) -> Plan[Firmware]:
    """One image. Raises CommandError(code="unknown_firmware")."""
    row = first((yield SQL("find_firmware", tenant_id=tenant_id, name=name)))
    if row is None:
        raise CommandError("unknown_firmware", f"there is no firmware {name}; upload it first")
    return _firmware(row)


def _firmware(row: Row, replayed: bool = False) -> Firmware:  # noqa: FBT001, FBT002 - of one row
    return Firmware(
        name=row["name"],
        version=row["version"],
        size=row["size"],
        sha256=bytes(row["sha256"]),
        added_at=row["added_at"],
        replayed=replayed,
    )
