"""France: TIC of Linky in historic and standard mode, and of older electronic meters."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.base import BaseProfile, integer_at
from firmware_profiles.codecs import tic
from firmware_profiles.codecs.clock import is_summer, to_utc
from firmware_profiles.codecs.number import reading as number_reading
from firmware_profiles.fr_linky.labels import LABEL_OF, LABELS
from ohmesh.model.errors import ProfileError
from ohmesh.model.reading import Quality, Reading

if TYPE_CHECKING:
    from firmware_profiles.api import Keys, Report

_DEVICE_LABELS = {"ADSC": "id", "ADCO": "id", "PRM": "service_point", "VTIC": "version"}
_SUMMER = {"E": True, "H": False}
_TIC_VERSION = "02"


class FrLinky(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one TIC frame of either mode. Raises DecodeError."""
        del keys
        frame = tic.decode(payload, verify=verify)
        stamp = next((group.time for group in frame.groups if group.label == "DATE"), None)
        time, quality = self._instant(stamp)
        readings: list[Reading] = []
        texts: dict[str, str] = {}
        for group in frame.groups:
            found = self._reading(group, time, quality)
            if found is not None:
                readings.append(found)
            elif group.label != "DATE":
                texts[group.label] = group.data.strip()
        if frame.rejected:
            texts["rejected"] = " ".join(frame.rejected)
        device = {name: texts[label] for label, name in _DEVICE_LABELS.items() if label in texts}
        return Decoded(device, tuple(readings), time, texts)

    def encode(self, report: Report) -> bytes:
        """The standard-mode frame of a simulated meter. Raises ProfileError."""
        if not (report.meter.isascii() and report.meter.isprintable()):
            raise ProfileError(f"TIC cannot carry the meter id {report.meter!r}")
        stamp = self._stamp(report.time)
        groups = [
            tic.Group("ADSC", report.meter),
            tic.Group("VTIC", _TIC_VERSION),
            tic.Group("DATE", "", stamp),
        ]
        groups += [self._group(reading) for reading in report.readings]
        return tic.encode(tic.Frame(tic.Mode.STANDARD, tuple(groups)))

    def _reading(self, group: tic.Group, time: datetime | None, quality: Quality) -> Reading | None:
        label = LABELS.get(group.label)
        digits = group.data.strip()
        if label is None or not digits.isdecimal() or len(digits) > 18:
            return None
        if group.time is not None:
            time, quality = self._instant(group.time)
        register = self.register_for(label.obis, label.unit)
        return number_reading(register, (int(digits), label.exponent), time, quality)

    def _instant(self, stamp: str | None) -> tuple[datetime | None, Quality]:
        """The instant of `SAAMMJJhhmmss`, S = E in summer, H in winter, small when unsure."""
        if stamp is None:
            return None, Quality.ACTUAL
        year, *rest = (int(stamp[i : i + 2]) for i in range(1, 13, 2))
        summer = _SUMMER.get(stamp[0].upper())
        try:
            local = datetime(2000 + year, *rest)  # type: ignore[arg-type]  # noqa: DTZ001 - local
        except ValueError:
            return None, Quality.CLOCK_INVALID
        quality = Quality.ACTUAL if stamp[0] in _SUMMER else Quality.CLOCK_INVALID
        return to_utc(local, self.zone, summer=summer), quality

    def _stamp(self, moment: datetime) -> str:
        season = "E" if is_summer(moment, self.zone) else "H"
        return f"{season}{moment.astimezone(self.zone):%y%m%d%H%M%S}"

    def _group(self, reading: Reading) -> tic.Group:
        register = self.own(reading)
        name = LABEL_OF.get((register.obis, register.unit))
        if name is None:
            raise ProfileError(f"TIC has no label for {register.channel}")
        label = LABELS[name]
        value = integer_at(reading, label.exponent, largest=10**label.digits - 1)
        dated = name.startswith("SMAX") and reading.time is not None
        stamp = self._stamp(reading.time) if dated and reading.time else None
        return tic.Group(name, f"{value:0{label.digits}}", stamp)


def profile() -> FrLinky:
    """The entry point."""
    return FrLinky("firmware_profiles.fr_linky")
