"""Modbus: Carlo Gavazzi EM24 and EM300, whose registers contradict those of the generic profile."""

from __future__ import annotations

from firmware_profiles.modbus.profile import Modbus


def profile() -> Modbus:
    """The entry point."""
    return Modbus("firmware_profiles.modbus_em24", ("carlo_gavazzi_em24", "carlo_gavazzi_em300"))
