"""Sweden: H1. Reads P1 text and DLMS lists, writes P1 text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.learn import learn_push
from firmware_profiles.codecs.dlms.push import decode_telegram
from firmware_profiles.p1_text import P1Profile

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys
    from firmware_profiles.shape import Template


class SeH1(P1Profile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one telegram, text or DLMS list. Raises DecodeError."""
        if payload[:1] == b"/":
            return super().decode(payload, verify=verify)
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a P1 text or of a plain push list."""
        if payload[:1] == b"/":
            return super().learn(payload)
        return learn_push(payload, self.zone, dialect_of)


def profile() -> SeH1:
    """The entry point."""
    return SeH1("firmware_profiles.se_h1")
