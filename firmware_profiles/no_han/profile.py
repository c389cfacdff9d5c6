"""Norway: HAN lists. Reads Aidon, Kaifa, Kamstrup and Iskraemeco; writes Aidon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.learn import learn_push
from firmware_profiles.codecs.dlms.lists import framed, list_by_obis
from firmware_profiles.codecs.dlms.push import decode_telegram
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_DESTINATION, _SOURCE = b"\x41", b"\x08\x83"
"""HDLC addresses of Aidon's HAN port."""


class NoHan(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one push list, in HDLC frames or naked, plain or ciphered. Raises DecodeError."""
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a plain push list."""
        return learn_push(payload, self.zone, dialect_of)

    def encode(self, report: Report) -> bytes:
        """The Aidon list of a simulated meter. Raises ProfileError."""
        apdu = list_by_obis(report, self.spec, self.zone)
        try:
            return framed(apdu, destination=_DESTINATION, source=_SOURCE)
        except ValueError as error:
            raise ProfileError(f"no_han: {error}") from error


def profile() -> NoHan:
    """The entry point."""
    return NoHan("firmware_profiles.no_han")
