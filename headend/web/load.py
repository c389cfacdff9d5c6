"""A day of a meter's energy, read for the load curve."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headend.api.routes.meters import values_of
from headend.api.services import BILLED_CHANNEL, SQL
from headend.web.curve import Slot, slots

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

_DAY_VALUES_MAX: Final = 1441
_TICK: Final = timedelta(microseconds=1)
_WINDOW: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """A day of one meter.

    Attributes:
        meter: its name.
        zone: of its service point.
        day: the local day that is shown; None: the 24 hours up to the newest value.
        start, end: bounds; the slots' ENDs are in (start, end].
        interval_s: length of a slot.
        slots: one an interval, named by its END.
        unit, scaler: of register and energy.
        channel: its number in the store.
        register: what it said last.
    """

    meter: str
    zone: ZoneInfo
    day: date | None
    start: datetime
    end: datetime
    interval_s: int
    slots: list[Slot]
    unit: str
    scaler: int
    channel: int
    register: int

    @property
    def neighbours(self) -> tuple[date, date]:
        """The local days before and after what is shown."""
        newest = (self.end.astimezone(self.zone) - _TICK).date()
        if self.day is None:
            return newest, newest + timedelta(days=1)
        return self.day - timedelta(days=1), self.day + timedelta(days=1)

    @property
    def total(self) -> int:
        """Energy of the slots that are known."""
        return sum(slot.energy or 0 for slot in self.slots)

    @property
    def missing(self) -> int:
        """How many slots are not known."""
        return sum(slot.energy is None for slot in self.slots)

    @property
    def peak(self) -> Slot | None:
        """The slot with the most energy."""
        known = [slot for slot in self.slots if slot.energy is not None]
        return max(known, key=lambda slot: slot.energy or 0, default=None)


def zone_of(name: str) -> ZoneInfo:
    """A zone by its name; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def load_curve(tenant_id: int, meter: str, day: date | None) -> Plan[LoadCurve | None]:
    """A local day of a meter, by default its newest 24 hours. None: it has no readings yet.

    The meter must exist.
    """
    found = (yield SQL("find_meter_id", tenant_id=tenant_id, name=meter))[0]
    zone = zone_of(found["zone"])
    channels = {r["id"]: r for r in (yield SQL("channels")) if r["name"] == BILLED_CHANNEL}
    newest = yield SQL("newest_values", tenant_id=tenant_id, meter_id=found["id"])
    last = max((r for r in newest if r["channel"] in channels), key=_time, default=None)
    if last is None:
        return None
    step = timedelta(seconds=found["interval_s"])
    start, end = _bounds(day, zone, last["ts"], step)
    rows = yield SQL(
        "readings_up",
        tenant_id=tenant_id,
        meter_id=found["id"],
        channels=[last["channel"]],
        from_ts=start,
        to_ts=end + _TICK,
        after_channel=-1,
        limit=_DAY_VALUES_MAX,
    )
    values = [(time, value) for _, time, value, _ in values_of(rows[0])]
    if day is None:  # a meter that is younger than a day begins with its first value
        start = max(start, _on_grid(values[0][0], step))
    meaning = channels[last["channel"]]
    return LoadCurve(
        meter=meter,
        zone=zone,
        day=day,
        start=start,
        end=end,
        interval_s=found["interval_s"],
        slots=slots(values, start, end, step),
        unit=meaning["unit"],
        scaler=meaning["scaler"],
        channel=last["channel"],
        register=last["value"],
    )


def _time(row: Row) -> datetime:
    moment: datetime = row["ts"]
    return moment


def _bounds(
    day: date | None, zone: ZoneInfo, newest: datetime, step: timedelta
) -> tuple[datetime, datetime]:
    if day is None:
        end = _on_grid(newest, step)
        return end - _WINDOW, end
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _on_grid(moment: datetime, step: timedelta) -> datetime:
    """The END of the interval that a moment lies in."""
    return _EPOCH - (_EPOCH - moment) // step * step


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
