"""Belgium: eMUCS-P1."""

from __future__ import annotations

from firmware_profiles.p1_text import P1Profile


class BeEmucs(P1Profile):
    """The profile; see `firmware_profiles.api.Profile`."""

    version = "50221"
    version_line = "0-0:96.1.4"


def profile() -> BeEmucs:
    """The entry point."""
    return BeEmucs("firmware_profiles.be_emucs")
