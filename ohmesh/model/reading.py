"""Readings: an integer value of a register at an instant.

value x 10**scaler is the quantity in `unit`; nothing passes through a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntFlag
from typing import TYPE_CHECKING

from ohmesh.model.errors import ModelError

if TYPE_CHECKING:
    from ohmesh.model.obis import Obis
    from ohmesh.model.unit import Unit


class Quality(IntFlag):
    """Per-value status, kept with the reading; 0 is an actual value with a trusted clock."""

    ACTUAL = 0
    CLOCK_INVALID = 1
    """The meter said that its clock is not to be trusted."""
    RECEIVED_TIME = 2
    """The telegram has no stamp; the time is the gateway's receive time."""
    POWER_FAIL = 4
    ESTIMATED = 8
    EDITED = 16
    OVERFLOW = 32


@dataclass(frozen=True, slots=True)
class Register:
    """A channel as a profile defines it: the shared, static half of a reading.

    Attributes:
        channel: stable canonical name, `el.energy.import`; `raw.<obis>` for what is not mapped.
        obis: OBIS code, A and B as the meter sent them.
        unit: base unit.
        scaler: decimal exponent of the integer value.
    """

    channel: str
    obis: Obis
    unit: Unit
    scaler: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One value.

    Attributes:
        register: what was measured.
        value: integer mantissa, value x 10**register.scaler in register.unit.
        time: UTC instant, for an interval its END; None when the telegram carries no stamp.
        quality: flags, 0 when actual.
    """

    register: Register
    value: int
    time: datetime | None = None
    quality: Quality = Quality.ACTUAL

    @property
    def quantity(self) -> Decimal:
        """The value in the register's unit, exact."""
        return Decimal(self.value).scaleb(self.register.scaler)


def utc(moment: datetime) -> datetime:
    """The same instant in UTC. Raises ModelError for a time without a zone."""
    if moment.tzinfo is None:
        raise ModelError(f"the time {moment.isoformat()} has no zone")
    return moment.astimezone(UTC)
