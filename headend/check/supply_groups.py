"""The groups of vectors about cutting supply: permission, and the state machine's scenarios."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headend.check.scenarios import check_scenario
from headend.check.vectors import Vector, compare
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import load_pack

if TYPE_CHECKING:
    from collections.abc import Iterator

from headend.check.vectors import Check


def groups() -> dict[str, Check]:
    """Group -> check."""
    return {"disconnect_permission": check_permission, "scenario": check_scenario}


def check_permission(vector: Vector) -> Iterator[str]:
    """One instant under one pack."""
    context = _context(vector["context"], ZoneInfo(vector["tz"]))
    answer = may_disconnect(_utc(vector["now_utc"]), load_pack(vector["pack"]), context)
    actual = {
        "permitted": answer.ok,
        "reason": answer.reason,
        "next_permitted_utc": _text(answer.next_permitted),
    }
    yield from compare(vector, actual)


def _context(content: dict[str, Any], zone: ZoneInfo) -> PermissionContext:
    """A vector's context: facts by name; whatever else is true protects the customer."""
    known = {"exempt", "breaker_open"}
    stale_h = content.get("stale_after_h")
    return PermissionContext(
        zone=zone,
        flags=frozenset(n for n, value in content.items() if value is True and n not in known),
        exempt=content.get("exempt", False),
        grace_until=_at(content.get("grace_until")),
        notice_minutes=content.get("notice_minutes"),
        notice_at=_at(content.get("notice_at")),
        data_at=_at(content.get("data_at")),
        stale_after=None if stale_h is None else timedelta(hours=stale_h),
        temperature_dc=_temperature_dc(content),
        breaker_open=content.get("breaker_open", False),
    )


def _temperature_dc(content: dict[str, Any]) -> int | None:
    """Tenths of a degree Celsius from a fact named `..._f` or `..._c`."""
    for name, value in content.items():
        if name.endswith("_f") and value is not None:
            return int((value - 32) * 50 // 9)
        if name.endswith("_c") and value is not None:
            return int(10 * value)
    return None


def _at(text: str | None) -> datetime | None:
    return None if text is None else _utc(text)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
