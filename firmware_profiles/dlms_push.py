"""Profiles whose meters push DLMS lists: each adds how its own simulated meter packs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.learn import learn_push
from firmware_profiles.codecs.dlms.lists import list_by_obis
from firmware_profiles.codecs.dlms.push import decode_telegram
from firmware_profiles.codecs.dlms.transport import wrapper

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_METER, _HEADEND = 1, 16
"""Wrapper ports of the meter and of the public client."""


class DlmsPush(BaseProfile):
    """Pushed lists, whatever carries them; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode pushed data: framed, segmented or naked, plain or ciphered. Raises DecodeError."""
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a plain push list."""
        return learn_push(payload, self.zone, dialect_of)


class WrappedPush(DlmsPush):
    """Lists behind the wrapper (IEC 62056-47)."""

    def encode(self, report: Report) -> bytes:
        """The list of a simulated meter behind the wrapper header. Raises ProfileError."""
        apdu = list_by_obis(report, self.spec, self.zone)
        return wrapper(apdu, source=_METER, destination=_HEADEND)
