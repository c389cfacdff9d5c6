"""A decoded telegram as readings, texts and device names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.codecs.mbus.header import Function
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


def _stamps(records: Iterable[Record], zone: tzinfo) -> dict[int, tuple[datetime, Quality]]:
    """Storage number -> when its values were valid. A stamp with the time of day goes first."""
    found: dict[int, tuple[datetime, Quality]] = {}
    for record in records:
        stamp, header = record.value, record.header
        if not isinstance(stamp, Stamp) or header.function is not Function.INSTANT:
            continue
        if header.quantity.name not in _STAMP_NAMES or header.quantity.modifiers:
            continue
        if stamp.date_only and (header.storage == 0 or header.storage in found):
            continue
        moment = to_utc(stamp, zone)
        if moment is not None:
            quality = Quality.CLOCK_INVALID if stamp.invalid else Quality.ACTUAL
            found[header.storage] = (moment, quality)
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
        self._readings: dict[str, Reading] = {}
        self._texts: dict[str, str] = {}
        self._device: dict[str, str] = {}
        self._time: datetime | None = None
        self._counter: int | None = None

    def add(self, telegram: Telegram) -> None:
        """Add a telegram; its values replace those of the same channels before it."""
        self._device |= _device(telegram)
        stamps = _stamps(telegram.records, self._zone)
        self._time = stamps.get(0, (self._time,))[0]
        if telegram.counter is not None:
            self._counter = telegram.counter
        device_type = telegram.address.device_type if telegram.address else 0
        seen: dict[str, int] = {}
        for record in telegram.records:
            self._add_record(record, device_type, stamps, seen)

    def _add_record(
        self,
        record: Record,
        device_type: int,
        stamps: Mapping[int, tuple[datetime, Quality]],
        seen: dict[str, int],
    ) -> None:
        header = record.header
        value = record.value
        place = self._channels.place(header, device_type) if type(value) is int else None
        if place is None or not isinstance(value, int):
            self._texts[_unique(label(header), seen)] = _text(record)
            return
        number = value * place.factor
        if not -_INT64_MAX <= number <= _INT64_MAX:
            self._texts[_unique(label(header), seen)] = f"{value}e{header.exponent}"
            return
        time, quality = stamps.get(header.storage, (None, Quality.ACTUAL))
        register = place.register
        channel = _unique(register.channel, seen)
        if channel != register.channel:
            register = renamed(register, channel)
        self._readings[channel] = Reading(register, number, time, quality)

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
