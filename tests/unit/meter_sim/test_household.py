"""Households: habits by hour and weekday, sun on some roofs, the same for the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from meter_sim.household import SLOT_MS, Household
from meter_sim.registers import WATT_MS_PER_WH, Registers, read_out
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Register
from ohmesh.model.unit import Unit

PLAIN = Household(seed=3, mean_w=400, roof_w=0, first_wh=0)
SUNNY = Household(seed=3, mean_w=400, roof_w=6000, first_wh=0)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
SATURDAY = datetime(2026, 1, 3, tzinfo=UTC)


def mean_w(household, first_day, hour, weeks=100):
    """Mean power in an hour of the same weekday over many weeks."""
    slots = [
        round((first_day + timedelta(weeks=week, hours=hour)).timestamp() * 1000) // SLOT_MS + n
        for week in range(weeks)
        for n in range(4)
    ]
    return sum(household.net_w(slot) for slot in slots) / len(slots)


def test_evenings_cost_more_than_nights():
    assert mean_w(PLAIN, MONDAY, 18) > 2 * mean_w(PLAIN, MONDAY, 3)


def test_on_weekends_people_are_at_home_at_noon_and_sleep_longer():
    assert mean_w(PLAIN, SATURDAY, 12) > 1.2 * mean_w(PLAIN, MONDAY, 12)
    assert mean_w(PLAIN, SATURDAY, 7) < mean_w(PLAIN, MONDAY, 7)
    for day in range(1, 5):
        assert mean_w(PLAIN, MONDAY + timedelta(days=day), 12) < mean_w(PLAIN, SATURDAY, 12)


def test_a_roof_feeds_in_at_noon_and_does_nothing_at_night():
    assert mean_w(SUNNY, MONDAY, 11) < -1000
    assert mean_w(SUNNY, MONDAY, 2) == mean_w(PLAIN, MONDAY, 2)


def test_without_a_roof_nothing_is_fed_in():
    first = round(MONDAY.timestamp() * 1000) // SLOT_MS
    assert min(PLAIN.net_w(slot) for slot in range(first, first + 35_000)) > 0


def test_a_street_has_different_households_and_some_roofs():
    street = [Household.of(1, node) for node in range(100, 200)]
    assert len({h.seed for h in street}) == 100
    assert 5 < sum(h.roof_w > 0 for h in street) < 40
    assert all(200 <= h.mean_w < 700 for h in street)
    assert [Household.of(1, node) for node in range(100, 200)] == street
    assert Household.of(2, 100) != street[0]


def register(channel, scaler=0, unit=Unit.WH):
    return Register(channel, Obis.parse("1.8.0"), unit, scaler)


def test_registers_show_what_their_scaler_can_rounded_down():
    counted = Registers(0, import_wms=12_345_678 * WATT_MS_PER_WH // 1000, net_w=-70)
    energy, power = "el.energy.import", "el.power.export"
    assert read_out(counted, register(energy)) == 12_345
    assert read_out(counted, register(energy, scaler=1)) == 1_234
    assert read_out(counted, register(energy, scaler=3)) == 12
    assert read_out(counted, register(energy, scaler=-3)) == 12_345_678
    assert read_out(counted, register(power, unit=Unit.W)) == 70
    assert read_out(counted, register("el.power.import", unit=Unit.W)) == 0


def test_registers_count_exactly_over_the_borders_of_slots():
    counted = Registers(0, 0)
    counted.advance(5 * SLOT_MS + 17, PLAIN, connected=True)
    expected = sum(PLAIN.net_w(slot) for slot in range(5)) * SLOT_MS + PLAIN.net_w(5) * 17
    assert (counted.import_wms, counted.export_wms, counted.at_ms) == (
        expected,
        0,
        5 * SLOT_MS + 17,
    )
    counted.advance(4, PLAIN, connected=True)  # never backwards
    assert counted.at_ms == 5 * SLOT_MS + 17
