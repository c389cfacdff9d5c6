"""Netherlands: DSMR 2.2 to 5.0 and ESMR 5.0 on the customer port P1."""

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
_VERSION = "50"


class NlDsmr(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one P1 telegram; DSMR has no keys. Raises DecodeError."""
        del keys
        return readings_of(parse_p1(payload, verify=verify), self.zone)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a P1 text."""
        return learn_p1(payload, self.zone)

    def encode(self, report: Report) -> bytes:
        """The P1 telegram of a simulated meter. Raises ProfileError."""
        return telegram_of(
            report, self.spec, self.zone, identification=_IDENTIFICATION, version=_VERSION
        ).to_bytes()


def profile() -> NlDsmr:
    """The entry point."""
    return NlDsmr("firmware_profiles.nl_dsmr")
