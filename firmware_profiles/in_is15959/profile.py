"""India: IS 15959, pushed lists behind the wrapper."""

from __future__ import annotations

from firmware_profiles.dlms_push import WrappedPush


def profile() -> WrappedPush:
    """The entry point."""
    return WrappedPush("firmware_profiles.in_is15959")
