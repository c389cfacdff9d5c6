"""Luxembourg: Smarty. Reads ciphered and plain P1, writes plain P1 and seals it on request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_profiles.api import Keys
from firmware_profiles.codecs.dlms.security import (
    AUTHENTICATED,
    ENCRYPTED,
    GENERAL_GLO,
    open_general,
    seal_general,
)
from firmware_profiles.codecs.p1.readings import readings_of
from firmware_profiles.codecs.p1.telegram import parse_p1
from firmware_profiles.p1_text import P1Profile

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded

AUTHENTICATION_KEY = bytes(0x11 * n for n in range(16))
"""00 11 22 .. FF: the same for all meters and public (E-Meter P1 specification, Luxembourg)."""
_CONTROL = AUTHENTICATED | ENCRYPTED


class LuSmarty(P1Profile):
    """The profile; see `firmware_profiles.api.Profile`."""

    version = "42"

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one telegram, ciphered or plain. Raises DecodeError."""
        if payload[:1] != bytes((GENERAL_GLO,)):
            return super().decode(payload, verify=verify)
        if keys is not None and keys.authentication is None:
            keys = replace(keys, authentication=AUTHENTICATION_KEY)
        opened = open_general(payload, keys, verify=verify)
        # The tag has vouched for the text; the CRC in it adds nothing, and the published example
        # of the specification has a wrong one.
        authentic = verify and bool(opened.control & AUTHENTICATED)
        telegram = parse_p1(opened.apdu, verify=verify and not authentic)
        decoded = readings_of(telegram, self.zone)
        device = {**decoded.device, "system_title": opened.title.hex().upper()}
        return replace(decoded, device=device, counter=opened.counter)


def seal(telegram: bytes, key: bytes, *, title: bytes, counter: int) -> bytes:
    """A plain telegram as the meter's port sends it.

    Args:
        telegram: P1 text.
        key: the meter's encryption key, 16 bytes.
        title: the meter's system title, 8 bytes.
        counter: never twice with one key.
    """
    keys = Keys(key, AUTHENTICATION_KEY)
    return seal_general(title, telegram, keys, control=_CONTROL, counter=counter)


def profile() -> LuSmarty:
    """The entry point."""
    return LuSmarty("firmware_profiles.lu_smarty")
