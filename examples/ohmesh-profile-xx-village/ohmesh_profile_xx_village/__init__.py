"""An invented village and its water meters: the example of a profile from a third party."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.number import reading
from ohmesh.model.errors import ProfileError
from ohmesh_profile_xx_village.telegram import Telegram, decode, encode

if TYPE_CHECKING:
    from firmware_profiles.api import Keys, Report

_LITRE = -3
"""Decimal exponent of a litre in m3, the unit of the channel."""
_CHANNELS = ("water.volume", "water.flow", "water.temperature")


class Village(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one telegram. Raises DecodeError and nothing else, whatever the bytes."""
        del keys
        found = decode(payload, verify=verify)
        time = datetime.fromtimestamp(found.seconds, UTC)
        numbers = (
            (found.volume_l, _LITRE),
            (found.flow_l_per_h, _LITRE),
            (found.temperature_dc, -1),
        )
        readings = tuple(
            reading(self.spec.registers[channel], number, time)
            for channel, number in zip(_CHANNELS, numbers, strict=True)
        )
        return Decoded({"id": str(found.meter)}, readings, time)

    def encode(self, report: Report) -> bytes:
        """The telegram of a simulated meter. Raises ProfileError for what it cannot say."""
        values = {self.own(item).channel: item.value for item in report.readings}
        try:
            numbers = [values[channel] for channel in _CHANNELS]
            seconds = int(report.time.timestamp())
            return encode(Telegram(int(report.meter), seconds, *numbers))
        except KeyError as missing:
            raise ProfileError(f"the village's telegram needs {missing}") from missing
        except (OverflowError, ValueError) as error:
            raise ProfileError(f"the village's telegram has no room for this: {error}") from error


def profile() -> Village:
    """The entry point."""
    return Village("ohmesh_profile_xx_village")
