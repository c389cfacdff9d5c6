"""A decoded telegram as readings, texts and device names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.codecs.mbus.header import Function
from firmware_profiles.codecs.mbus.profile import read_row
from firmware_profiles.codecs.mbus.value import Stamp
from firmware_profiles.eu_mbus.channels import label, renamed
from firmware_profiles.eu_mbus.clock import to_utc
from ohmesh.model.reading import Quality, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, tzinfo

    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.telegram import Telegram
    from firmware_profiles.eu_mbus.channels import Channels

_INT64_MAX = (1 << 63) - 1
_STAMP_NAMES = frozenset({"date", "time"})


@dataclass(frozen=True, slots=True)
class _Moment:
    """When the values of a storage number were valid: the meter's stamp and the instant."""

    stamp: Stamp
    time: datetime

    @property
    def quality(self) -> Quality:
        return Quality.CLOCK_INVALID if self.stamp.invalid else Quality.ACTUAL


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the records of one telegram have in common."""

    device_type: int
    moments: Mapping[int, _Moment]
    seen: dict[str, int]


def _moments(records: Iterable[Record], zone: tzinfo) -> dict[int, _Moment]:
    """Storage number -> when its values were valid. A stamp with the time of day goes first."""
    found: dict[int, _Moment] = {}
    for record in records:
        stamp, header = record.value, record.header
        if not isinstance(stamp, Stamp) or header.function is not Function.INSTANT:
            continue
        if header.quantity.name not in _STAMP_NAMES or header.quantity.modifiers:
            continue
        if stamp.date_only and (header.storage == 0 or header.storage in found):
            continue
        time = to_utc(stamp, zone)
        if time is not None:
            found[header.storage] = _Moment(stamp, time)
    return found


def _text(record: Record) -> str:
    """A value that is no number; an invalid one as its octets."""
    value = record.value
    return f"invalid {record.data.hex().upper()}" if value is None else str(value)


class Collector:
    """Collects the records of the telegrams of one payload.

    Args:
        channels: headers to registers.
        zone: of stamps.
    """

    def __init__(self, channels: Channels, zone: tzinfo) -> None:
        self._channels = channels
        self._zone = zone
        self._readings: dict[tuple[str, datetime | None], Reading] = {}
        self._texts: dict[str, str] = {}
        self._device: dict[str, str] = {}
        self._time: datetime | None = None
        self._counter: int | None = None

    def add(self, telegram: Telegram) -> None:
        """Add a telegram; its values replace those of the same channels before it."""
        self._device |= _device(telegram)
        moments = _moments(telegram.records, self._zone)
        if 0 in moments:
            self._time = moments[0].time
        if telegram.counter is not None:
            self._counter = telegram.counter
        device_type = telegram.address.device_type if telegram.address else 0
        scene = _Scene(device_type, moments, {})
        for record in telegram.records:
            self._add_record(record, scene)

    def _add_record(self, record: Record, scene: _Scene) -> None:
        header, value = record.header, record.value
        if header.profile and self._add_row(record, scene):
            return
        place = self._channels.place(header, scene.device_type) if type(value) is int else None
        if place is None or not isinstance(value, int):
            self._texts[_unique(label(header), scene.seen)] = _text(record)
            return
        number = value * place.factor
        if not -_INT64_MAX <= number <= _INT64_MAX:
            self._texts[_unique(label(header), scene.seen)] = f"{value}e{header.exponent}"
            return
        register = place.register
        channel = _unique(register.channel, scene.seen)
        if channel != register.channel:
            register = renamed(register, channel)
        moment = scene.moments.get(header.storage)
        time, quality = (moment.time, moment.quality) if moment else (None, Quality.ACTUAL)
        self._readings[channel, None] = Reading(register, number, time, quality)

    def _add_row(self, record: Record, scene: _Scene) -> bool:
        """Add the valid values of a compact profile, each at its own time; False when it cannot."""
        moment = scene.moments.get(record.header.storage)
        place = self._channels.place(record.header, scene.device_type)
        row = read_row(record)
        if moment is None or place is None or row is None:
            return False
        for index, number in enumerate(row.numbers):
            local = row.time(moment.stamp.local, index)
            time = to_utc(replace(moment.stamp, local=local), self._zone) if local else None
            if number is None or time is None or abs(number * place.factor) > _INT64_MAX:
                continue
            reading = Reading(place.register, number * place.factor, time, moment.quality)
            self._readings[place.register.channel, time] = reading
        return True

    def decoded(self) -> Decoded:
        """What the telegrams say together."""
        return Decoded(
            device=self._device,
            readings=tuple(self._readings.values()),
            time=self._time,
            texts=self._texts,
            counter=self._counter,
        )


def _unique(name: str, seen: dict[str, int]) -> str:
    """The name, with `.2` and so on when a telegram has it more than once."""
    count = seen[name] = seen.get(name, 0) + 1
    return name if count == 1 else f"{name}.{count}"


def _device(telegram: Telegram) -> dict[str, str]:
    names: dict[str, str] = {"status": f"{telegram.status:02X}"}
    address = telegram.address
    if address is not None:
        names |= {
            "id": address.number,
            "version": f"{address.version:02X}",
            "medium": address.medium,
        }
        if address.manufacturer:
            names["manufacturer"] = address.maker
    if telegram.primary is not None:
        names["primary"] = str(telegram.primary)
    if telegram.radio is not None:
        names["radio"] = telegram.radio.number
    return names
