"""Sweden: H1. Reads P1 text and DLMS lists, writes P1 text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.learn import learn_push
from firmware_profiles.codecs.dlms.push import decode_telegram
from firmware_profiles.codecs.p1.learn import learn_p1
from firmware_profiles.codecs.p1.readings import readings_of
from firmware_profiles.codecs.p1.report import telegram_of
from firmware_profiles.codecs.p1.telegram import parse_p1

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_IDENTIFICATION = "OHM5"
_VERSION = ""


class SeH1(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one telegram, text or DLMS list. Raises DecodeError."""
        if payload[:1] == b"/":
            return readings_of(parse_p1(payload, verify=verify), self.zone)
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a P1 text or of a plain push list."""
        if payload[:1] == b"/":
            return learn_p1(payload, self.zone)
        return learn_push(payload, self.zone, dialect_of)

    def encode(self, report: Report) -> bytes:
        """The P1 text of a simulated meter. Raises ProfileError."""
        return telegram_of(
            report, self.spec, self.zone, identification=_IDENTIFICATION, version=_VERSION
        ).to_bytes()


def profile() -> SeH1:
    """The entry point."""
    return SeH1("firmware_profiles.se_h1")
