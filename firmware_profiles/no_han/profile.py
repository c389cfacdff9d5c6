"""Norway: HAN lists. Reads Aidon, Kaifa, Kamstrup and Iskraemeco; writes Aidon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.dlms.push import decode_telegram
from firmware_profiles.no_han.dialects import dialect_of
from firmware_profiles.no_han.encode import telegram_of

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report


class NoHan(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one push list, in HDLC frames or naked, plain or ciphered. Raises DecodeError."""
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def encode(self, report: Report) -> bytes:
        """The Aidon list of a simulated meter. Raises ProfileError."""
        return telegram_of(report, self.spec, self.zone)


def profile() -> NoHan:
    """The entry point."""
    return NoHan("firmware_profiles.no_han")
