"""Austria: ciphered push lists. Writes plain lists in one M-Bus frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.learn import learn_push
from firmware_profiles.codecs.dlms.lists import list_by_obis
from firmware_profiles.codecs.dlms.push import decode_telegram
from firmware_profiles.codecs.dlms.transport import mbus_frames

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template


class AtDlms(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one push list in M-Bus segments, HDLC or naked. Raises DecodeError."""
        return decode_telegram(payload, self.zone, dialect_of, keys=keys, verify=verify)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a plain push list."""
        return learn_push(payload, self.zone, dialect_of)

    def encode(self, report: Report) -> bytes:
        """The plain list of a simulated meter in M-Bus segments. Raises ProfileError."""
        return mbus_frames(list_by_obis(report, self.spec, self.zone))


def profile() -> AtDlms:
    """The entry point."""
    return AtDlms("firmware_profiles.at_dlms")
