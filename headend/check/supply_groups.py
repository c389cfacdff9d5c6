"""The groups of vectors about cutting supply: permission, and the state machine's scenarios."""

from __future__ import annotations

from datetime import UTC, datetime
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
    facts = dict(content)
    fahrenheit = facts.pop("temperature_f", None)
    grace, exempt = facts.pop("grace_until", None), facts.pop("exempt", False)
    breaker = facts.pop("breaker_open", False)
    return PermissionContext(
        zone=zone,
        flags=frozenset(name for name, value in facts.items() if value is True),
        exempt=exempt,
        grace_until=None if grace is None else _utc(grace),
        temperature_dc=None if fahrenheit is None else (fahrenheit - 32) * 50 // 9,
        breaker_open=breaker,
    )


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
