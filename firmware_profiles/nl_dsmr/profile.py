"""Netherlands: DSMR 2.2 to 5.0 and ESMR 5.0 on the customer port P1."""

from __future__ import annotations

from firmware_profiles.p1_text import P1Profile


class NlDsmr(P1Profile):
    """The profile; see `firmware_profiles.api.Profile`."""

    version = "50"


def profile() -> NlDsmr:
    """The entry point."""
    return NlDsmr("firmware_profiles.nl_dsmr")
