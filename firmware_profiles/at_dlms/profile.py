"""Austria: ciphered push lists. Writes plain lists in one M-Bus frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.lists import list_by_obis
from firmware_profiles.codecs.dlms.transport import mbus_frames
from firmware_profiles.dlms_push import DlmsPush

if TYPE_CHECKING:
    from firmware_profiles.api import Report


class AtDlms(DlmsPush):
    """The profile; see `firmware_profiles.api.Profile`."""

    def encode(self, report: Report) -> bytes:
        """The plain list of a simulated meter in M-Bus segments. Raises ProfileError."""
        return mbus_frames(list_by_obis(report, self.spec, self.zone))


def profile() -> AtDlms:
    """The entry point."""
    return AtDlms("firmware_profiles.at_dlms")
