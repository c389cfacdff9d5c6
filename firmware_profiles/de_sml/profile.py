"""Germany: basic meters (eHZ, mMe) that push SML 1.04 or an IEC 62056-21 readout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs import iec62056_21
from firmware_profiles.codecs.sml import messages as sml
from firmware_profiles.de_sml.learn import learn_frame
from firmware_profiles.de_sml.lists import encode_report, readings_of
from firmware_profiles.readout import readings_of_readout

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_SML_START = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"


class DeSml(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode an SML frame or an ASCII readout. Raises DecodeError."""
        del keys
        if _SML_START in payload:
            return readings_of(sml.decode(payload, verify=verify), self.register_for)
        readout = iec62056_21.decode(payload, verify=verify)
        return readings_of_readout(readout, self.register_for, self.zone)

    def learn(self, payload: bytes) -> Template | None:
        """The template of an SML frame."""
        return learn_frame(payload, self.register_for) if _SML_START in payload else None

    def encode(self, report: Report) -> bytes:
        """The SML frame of a simulated meter. Raises ProfileError."""
        for reading in report.readings:
            self.own(reading)
        return encode_report(report)


def profile() -> DeSml:
    """The entry point."""
    return DeSml("firmware_profiles.de_sml")
