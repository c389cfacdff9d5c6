"""Value information fields of EN 13757-3:2018, tables 10 to 14.

A table maps the seven bits of a VIF to a quantity. Non-metric units are brought to base units by
exact integer factors; a temperature in degrees Fahrenheit has no such factor and stays a raw
value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.quantity import Kind, Quantity
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
_TIME_STEPS = (1, MINUTE_S, HOUR_S, DAY_S)
_JOULE_PER_CALORIE_E4 = 41_868
"""One calorie is 4.1868 J."""
_M3_PER_FOOT3_E12 = 28_316_846_592
_M3_PER_GALLON_E12 = 3_785_411_784

Table = dict[int, Quantity]


def scaled(  # noqa: PLR0917 - reads as a row of the table
    start: int, count: int, name: str, unit: Unit, exponent: int, multiplier: int = 1
) -> Table:
    """`count` codes from `start`, each ten times its predecessor, the first 10**exponent."""
    return {start + n: Quantity(name, unit, exponent + n, multiplier) for n in range(count)}


def _durations(start: int, name: str, steps: Iterable[int] = _TIME_STEPS) -> Table:
    return {start + n: Quantity(name, Unit.SECOND, 0, step) for n, step in enumerate(steps)}


def _kind(kind: Kind, names: dict[int, str], unit: Unit | None = None) -> Table:
    return {code: Quantity(name, unit, kind=kind) for code, name in names.items()}


def _counts(names: dict[int, str]) -> Table:
    return {code: Quantity(name, Unit.COUNT) for code, name in names.items()}


PRIMARY: Table = {
    **scaled(0x00, 8, "energy", Unit.WH, -3),
    **scaled(0x08, 8, "energy", Unit.J, 0),
    **scaled(0x10, 8, "volume", Unit.M3, -6),
    **scaled(0x18, 8, "mass", Unit.KG, -3),
    **_durations(0x20, "on_time"),
    **_durations(0x24, "operating_time"),
    **scaled(0x28, 8, "power", Unit.W, -3),
    **scaled(0x30, 8, "power", Unit.J_PER_H, 0),
    **scaled(0x38, 8, "flow", Unit.M3_PER_H, -6),
    **scaled(0x40, 8, "flow", Unit.M3_PER_H, -7, 60),
    **scaled(0x48, 8, "flow", Unit.M3_PER_H, -9, 3600),
    **scaled(0x50, 8, "mass_flow", Unit.KG_PER_H, -3),
    **scaled(0x58, 4, "temp.flow", Unit.CELSIUS, -3),
    **scaled(0x5C, 4, "temp.return", Unit.CELSIUS, -3),
    **scaled(0x60, 4, "temp.delta", Unit.KELVIN, -3),
    **scaled(0x64, 4, "temp.external", Unit.CELSIUS, -3),
    **scaled(0x68, 4, "pressure", Unit.BAR, -3),
    **_kind(Kind.STAMP, {0x6C: "date", 0x6D: "time"}),
    0x6E: Quantity("units", Unit.HCA),
    **_durations(0x70, "averaging_time"),
    **_durations(0x74, "actuality"),
    **_kind(Kind.LABEL, {0x78: "fabrication", 0x79: "identification"}),
    **_kind(Kind.CODE, {0x7A: "address"}, Unit.CODE),
}
"""Table 10."""

FD: Table = {
    **scaled(0x00, 4, "credit", Unit.ONE, -3),
    **scaled(0x04, 4, "debit", Unit.ONE, -3),
    **_kind(
        Kind.CODE,
        {
            0x08: "access_number",
            0x09: "device_type",
            0x17: "error",
            0x18: "error_mask",
            0x1A: "digital_output",
            0x1B: "digital_input",
            0x1F: "remote_control",
            0x23: "tariff_descriptor",
            0x20: "storage_first",
            0x21: "storage_last",
            0x22: "storage_size",
            0x62: "control_signal",
            0x66: "parameter_state",
            0x72: "daylight_saving",
            0x73: "listening_window",
        },
        Unit.CODE,
    ),
    **_kind(
        Kind.LABEL,
        {
            0x0A: "manufacturer",
            0x0B: "parameter_set",
            0x0C: "model",
            0x0D: "hardware",
            0x0E: "firmware",
            0x0F: "software",
            0x10: "customer_location",
            0x11: "customer",
            0x12: "access_user",
            0x13: "access_operator",
            0x14: "access_system_operator",
            0x15: "access_developer",
            0x16: "password",
            0x19: "security_key",
            0x2A: "operator_data",
            0x3B: "radio_container",
            0x67: "supplier_info",
            0x76: "maker_container",
        },
    ),
    0x1C: Quantity("baud_rate", Unit.ONE),
    0x1D: Quantity("response_delay_bits", Unit.ONE),
    **_counts({0x1E: "retries", 0x60: "resets", 0x61: "cumulations", 0x75: "stops"}),
    **_durations(0x24, "storage_interval"),
    **_counts({0x28: "storage_interval_months", 0x29: "storage_interval_years"}),
    0x2B: Quantity("second", Unit.SECOND),
    **_durations(0x2C, "since_readout"),
    **_kind(Kind.STAMP, {0x30: "tariff_start", 0x70: "battery_change"}),
    **_durations(0x31, "tariff_duration", _TIME_STEPS[1:]),
    **_durations(0x34, "tariff_period"),
    **_counts({0x38: "tariff_period_months", 0x39: "tariff_period_years"}),
    0x3A: Quantity("number", Unit.ONE),
    **_durations(0x3C, "transmission_period"),
    **scaled(0x40, 16, "voltage", Unit.V, -9),
    **scaled(0x50, 16, "current", Unit.A, -12),
    **_counts({0x63: "weekday", 0x64: "week", 0x65: "day_change"}),
    **_durations(0x68, "since_cumulation", (HOUR_S, DAY_S)),
    **_counts({0x6A: "since_cumulation_months", 0x6B: "since_cumulation_years"}),
    **_durations(0x6C, "battery_time", (HOUR_S, DAY_S)),
    **_counts({0x6E: "battery_time_months", 0x6F: "battery_time_years"}),
    0x71: Quantity("rf_level_dbm", Unit.ONE),
    0x74: Quantity("battery_left", Unit.SECOND, 0, DAY_S),
}
"""Table 14, after FD."""

FB: Table = {
    **scaled(0x00, 2, "energy", Unit.WH, 5),
    **scaled(0x02, 2, "reactive", Unit.VARH, 3),
    **scaled(0x04, 2, "apparent", Unit.VAH, 3),
    **scaled(0x08, 2, "energy", Unit.J, 8),
    **scaled(0x0C, 4, "energy", Unit.J, 1, _JOULE_PER_CALORIE_E4),
    **scaled(0x10, 2, "volume", Unit.M3, 2),
    **scaled(0x14, 4, "reactive_power", Unit.VAR, 0),
    **scaled(0x18, 2, "mass", Unit.KG, 5),
    **scaled(0x1A, 2, "humidity", Unit.PERCENT, -1),
    0x20: Quantity("volume", Unit.M3, -12, _M3_PER_FOOT3_E12),
    0x21: Quantity("volume", Unit.M3, -13, _M3_PER_FOOT3_E12),
    **scaled(0x22, 2, "volume", Unit.M3, -13, _M3_PER_GALLON_E12),
    0x24: Quantity("flow", Unit.M3_PER_H, -15, _M3_PER_GALLON_E12 * 60),
    0x25: Quantity("flow", Unit.M3_PER_H, -12, _M3_PER_GALLON_E12 * 60),
    0x26: Quantity("flow", Unit.M3_PER_H, -12, _M3_PER_GALLON_E12),
    **scaled(0x28, 2, "power", Unit.W, 5),
    0x2A: Quantity("angle.voltage", Unit.DEGREE, -1),
    0x2B: Quantity("angle.current", Unit.DEGREE, -1),
    **scaled(0x2C, 4, "frequency", Unit.HZ, -3),
    **scaled(0x30, 2, "power", Unit.J_PER_H, 8),
    **scaled(0x34, 4, "apparent_power", Unit.VA, 0),
    **scaled(0x74, 4, "temp.limit", Unit.CELSIUS, -3),
    **scaled(0x78, 8, "power_max", Unit.W, -3),
}
"""Table 12, after FB."""

FDFD: Table = {
    **_kind(Kind.LABEL, {0x00: "application"}),
    **_counts({0x02: "battery_left_months", 0x03: "battery_left_years"}),
}
"""Table 13, after FD FD."""

UNKNOWN = Quantity("raw", Unit.ONE)
"""A code that the tables reserve, or that only its maker knows."""
