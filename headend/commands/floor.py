"""Numbers towards a meter that must not go back with a restored database (ADR 0044, ADR 0049)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

COUNTER_STEP: Final = timedelta(milliseconds=250)
"""A number for each: 32 bits last until 2060, and nobody sends faster for long."""
_COUNTED_FROM: Final = datetime(2026, 1, 1, tzinfo=UTC)


def counter_floor(now: datetime) -> int:
    """No counter of the seal, and no command's number, is lower at this time; 32 bits."""
    return max(0, int((now - _COUNTED_FROM) / COUNTER_STEP))
