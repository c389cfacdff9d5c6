"""China: DL/T 645-2007, and readings over DL/T 698.45."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.cn_645 import meter645, meter698
from firmware_profiles.codecs import dlt645
from firmware_profiles.codecs.dlt698 import link

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report

_WAKE = bytes((dlt645.WAKE,))
_SECOND_START = 7


class Cn645(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode frames of DL/T 645, or one of DL/T 698.45. Raises DecodeError.

        A 645 frame has 68 again behind its address. A 698.45 frame may have that by chance, but not
        together with a length and an end mark that fit.
        """
        del keys
        body = payload.lstrip(_WAKE)
        is_645 = body[_SECOND_START : _SECOND_START + 1] == bytes((dlt645.START,))
        if not is_645 or link.fits(payload):
            return meter698.decode(payload, self.register_for, self.zone, verify=verify)
        frames = dlt645.decode(payload, verify=verify)
        return meter645.read(frames, self.register_for, self.zone)

    def encode(self, report: Report) -> bytes:
        """The DL/T 645 answers of a simulated meter. Raises ProfileError."""
        readings = {}
        for reading in report.readings:
            register = self.own(reading)
            own = replace(reading.register, obis=register.obis)
            readings[register.channel] = replace(reading, register=own)
        return meter645.encode(report, readings, self.zone)


def profile() -> Cn645:
    """The entry point."""
    return Cn645("firmware_profiles.cn_645")
