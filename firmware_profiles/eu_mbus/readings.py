"""A decoded telegram as readings, texts and device names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
    from firmware_profiles.eu_mbus.channels import Channels, Place

_INT64_MAX = (1 << 63) - 1
_STAMP_NAMES = frozenset({"date", "time"})


class _Moment(NamedTuple):
    """When the values of a storage number were valid: the instant, and the meter's stamp."""

    time: datetime | None
    quality: Quality
    stamp: Stamp | None


_NO_MOMENT = _Moment(None, Quality.ACTUAL, None)


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
        time = to_utc(stamp.local, zone, summer=stamp.summer)
        if time is not None:
            quality = Quality.CLOCK_INVALID if stamp.invalid else Quality.ACTUAL
            found[header.storage] = _Moment(time, quality, stamp)
    return found


def _text(record: Record) -> str:
    """A value that is no reading: as it is; an invalid one as its octets."""
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
        header, _, value = record
        if type(value) is int:
            place = self._channels.place(header, scene.device_type)
            if place and self._add_number(place, value, header.storage, scene):
                return
        if not (header.profile and self._add_row(record, scene)):
            self._texts[_unique(label(header), scene.seen)] = _text(record)

    def _add_number(self, place: Place, value: int, storage: int, scene: _Scene) -> bool:
        """Add a number as a reading; False when it is beyond what the store holds."""
        number = value * place.factor
        if not -_INT64_MAX <= number <= _INT64_MAX:
            return False
        register = place.register
        channel = register.channel
        if channel in scene.seen:
            channel = _unique(channel, scene.seen)
            register = renamed(register, channel)
        else:
            scene.seen[channel] = 1
        time, quality, _ = scene.moments.get(storage, _NO_MOMENT)
        self._readings[channel, None] = Reading(register, number, time, quality)
        return True

    def _add_row(self, record: Record, scene: _Scene) -> bool:
        """Add the valid values of a compact profile, each at its own time; False when it cannot."""
        _, quality, stamp = scene.moments.get(record.header.storage, _NO_MOMENT)
        place = self._channels.place(record.header, scene.device_type)
        row = read_row(record)
        if place is None or stamp is None or row is None:
            return False
        for index, number in enumerate(row.numbers):
            local = row.time(stamp.local, index)
            time = to_utc(local, self._zone, summer=stamp.summer) if local else None
            if number is None or time is None or abs(number * place.factor) > _INT64_MAX:
                continue
            reading = Reading(place.register, number * place.factor, time, quality)
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
