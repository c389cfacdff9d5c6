"""Meters that speak unasked: P1, SML, and readouts of IEC 62056-21 mode D."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs import iec62056_21
from firmware_profiles.codecs.iec62056_21 import DataSet, Readout, Value
from meter_sim.field.reports import report_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import Profile, Report


class PushingMeter:
    """A meter that says the same kind of telegram again and again."""

    def __init__(self, telegram: Callable[[], bytes], period_s: float) -> None:
        self._telegram = telegram
        self.period_s: float | None = period_s

    def receive(self, octets: bytes, baud: int | None) -> bytes:  # noqa: ARG002 - it is deaf
        """Nothing is heard."""
        return b""

    def speak(self) -> bytes:
        """The next telegram."""
        return self._telegram()


def profile_telegram(
    profile: Profile, meter: str, clock_ms: Callable[[], int], *, seed: int
) -> Callable[[], bytes]:
    """Makes the telegrams of a profile's meter."""
    return lambda: profile.encode(report_of(profile, meter, clock_ms(), seed=seed))


def readout_telegram(
    profile: Profile,
    meter: str,
    clock_ms: Callable[[], int],
    *,
    seed: int,
    checked: bool = False,
) -> Callable[[], bytes]:
    """Makes the readouts of a meter."""
    return lambda: readout_of(report_of(profile, meter, clock_ms(), seed=seed), checked=checked)


def readout_of(report: Report, *, checked: bool) -> bytes:
    """A report as a data message of IEC 62056-21."""
    lines = [DataSet("0.0.0", (Value(report.meter),))]
    for reading in report.readings:
        register = reading.register
        obis = register.obis
        quantity = f"{reading.quantity.scaleb(-3):011.4f}"
        unit = f"k{register.unit.value}"
        lines.append(DataSet(f"{obis.c}.{obis.d}.{obis.e}", (Value(quantity, unit),)))
    identification = "OHM5\\2SIM"
    return iec62056_21.encode(
        Readout(identification, tuple(lines), checked=checked, blank_line=not checked)
    )
