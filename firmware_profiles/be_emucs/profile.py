"""Belgium: eMUCS-P1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.p1.learn import learn_p1
from firmware_profiles.codecs.p1.readings import readings_of
from firmware_profiles.codecs.p1.report import telegram_of
from firmware_profiles.codecs.p1.telegram import parse_p1

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_IDENTIFICATION = "OHM5"
_VERSION = "50221"
_VERSION_LINE = "0-0:96.1.4"


class BeEmucs(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one P1 telegram; eMUCS has no keys. Raises DecodeError."""
        del keys
        return readings_of(parse_p1(payload, verify=verify), self.zone)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a P1 text."""
        return learn_p1(payload, self.zone)

    def encode(self, report: Report) -> bytes:
        """The P1 telegram of a simulated meter. Raises ProfileError."""
        return telegram_of(
            report,
            self.spec,
            self.zone,
            identification=_IDENTIFICATION,
            version=_VERSION,
            version_line=_VERSION_LINE,
        ).to_bytes()


def profile() -> BeEmucs:
    """The entry point."""
    return BeEmucs("firmware_profiles.be_emucs")
