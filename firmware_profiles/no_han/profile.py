"""Norway: HAN lists. Reads Aidon, Kaifa, Kamstrup and Iskraemeco; writes Aidon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.lists import framed, list_by_obis
from firmware_profiles.dlms_push import DlmsPush
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from firmware_profiles.api import Report

_DESTINATION, _SOURCE = b"\x41", b"\x08\x83"
"""HDLC addresses of Aidon's HAN port."""


class NoHan(DlmsPush):
    """The profile; see `firmware_profiles.api.Profile`."""

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
