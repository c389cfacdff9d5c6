"""Every profile that offers a simulated meter serves the simulator."""

from datetime import UTC, datetime

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Report
from ohmesh.model.reading import Reading

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SIMULATED = {"el.energy.import", "el.energy.export", "el.power.import", "el.power.export"}
"""What the meters of `meter_sim` have."""


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("meter", ["M0001", "7", "street-12-house-3"])
def test_a_meter_of_any_name_reports(name, meter):
    profile = registry.load(name)
    spec = profile.spec
    assert set(spec.reported) <= SIMULATED
    readings = tuple(Reading(spec.registers[c], 12_345, NOON) for c in spec.reported)
    if readings:
        decoded = profile.decode(profile.encode(Report(meter, NOON, readings)))
        assert [r.value for r in decoded.readings] == [12_345] * len(readings)
