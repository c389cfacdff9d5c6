"""Switzerland: push lists with descriptions, in HDLC and block transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.dialects import DESCRIBED
from firmware_profiles.codecs.dlms.lists import framed, list_by_description
from firmware_profiles.dlms_push import DlmsPush
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from firmware_profiles.api import Report

_DESTINATION, _SOURCE = b"\xcf", b"\x03"
"""HDLC addresses of the E360's customer interface."""


class ChDlms(DlmsPush):
    """The profile; see `firmware_profiles.api.Profile`."""

    def encode(self, report: Report) -> bytes:
        """The list of a simulated meter, with descriptions. Raises ProfileError."""
        apdu = list_by_description(report, self.spec, self.zone, dict(DESCRIBED.exponents))
        try:
            return framed(apdu, destination=_DESTINATION, source=_SOURCE)
        except ValueError as error:
            raise ProfileError(f"ch_dlms: {error}") from error


def profile() -> ChDlms:
    """The entry point."""
    return ChDlms("firmware_profiles.ch_dlms")
