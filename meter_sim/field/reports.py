"""What a simulated field meter has to say: the values of its household, by its profile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zlib import crc32

from firmware_profiles.api import Report
from meter_sim.household import SLOT_MS, Household
from meter_sim.registers import WATT_MS_PER_WH, Registers, check_channels, read_out
from ohmesh.model.reading import Reading

if TYPE_CHECKING:
    from firmware_profiles.api import Profile

_DAY_MS = 86_400_000


def registers_of(meter: str, now_ms: int, *, seed: int = 1) -> Registers:
    """What a meter has counted: from its household's first value on, since the day began (UTC)."""
    household = Household.of(seed, crc32(meter.encode()))
    start_ms = now_ms // _DAY_MS * _DAY_MS
    registers = Registers(start_ms, household.first_wh * WATT_MS_PER_WH)
    registers.import_wms += start_ms // SLOT_MS * household.mean_w * WATT_MS_PER_WH // 40_000
    registers.advance(now_ms, household, connected=True)
    return registers


def report_of(profile: Profile, meter: str, now_ms: int, *, seed: int = 1) -> Report:
    """The report of a meter at an instant. Raises ConfigError for a profile without values."""
    spec = profile.spec
    reported = [spec.registers[channel] for channel in spec.reported]
    check_channels(reported)
    registers = registers_of(meter, now_ms, seed=seed)
    readings = (Reading(register, read_out(registers, register)) for register in reported)
    return Report(meter, datetime.fromtimestamp(now_ms // 1000, UTC), tuple(readings))
