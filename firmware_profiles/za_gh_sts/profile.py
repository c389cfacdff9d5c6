"""South Africa and Ghana: generic DLMS of prepaid meters with STS tokens."""

from __future__ import annotations

from firmware_profiles.dlms_push import WrappedPush


def profile() -> WrappedPush:
    """The entry point."""
    return WrappedPush("firmware_profiles.za_gh_sts")
