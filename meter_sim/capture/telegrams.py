"""Records of telegrams: from a file of them, or of a meter that measures a load profile."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING

from firmware_profiles import registry
from firmware_profiles.api import Report
from meter_sim.capture.benchline import BenchLine, encode_line
from meter_sim.capture.record import BENCH, Record
from meter_sim.demo.records import read_records
from meter_sim.registers import WATT_MS_PER_WH, Registers, check_channels, read_out
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import meter_id
from ohmesh.model.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ROWS_MIN = 2


def bench_record(meter: str, profile: str, payload: bytes, at_us: int) -> Record:
    """A telegram as a line for a bench port."""
    line = BenchLine(meter, profile, payload.hex(), max(0, at_us // 1000))
    return Record(at_us, f"{BENCH} {meter}", encode_line(line))


def of_file(path: Path, *, start_us: int, every_us: int) -> Iterator[Record]:
    """Telegram records, JSON lines, evenly apart. Raises ConfigError."""
    for number, one in enumerate(read_records(path)):
        yield bench_record(one.meter, one.profile, one.payload, start_us + number * every_us)


def read_curve(lines: Iterable[str], column: str) -> tuple[datetime, timedelta, list[int]]:
    """A load profile in CSV: its first time, its step and the mean watts of each step.

    Args:
        lines: with a header; the first column holds the START of each interval, ISO 8601, UTC or
            any fixed offset when it names no zone.
        column: mean power in kW; a name that ends in `_w` is in W.

    Raises:
        ConfigError: a column that is not there, a value that is none, steps that differ.
    """
    rows = csv.DictReader(lines)
    names = list(rows.fieldnames or ())
    if column not in names:
        raise ConfigError(f"the load profile has no column {column!r}; it has {', '.join(names)}")
    per_unit = 1 if column.endswith("_w") else 1000
    times, watts = [], []
    for row in rows:
        try:
            moment = datetime.fromisoformat(row[names[0]])
            watts.append(round(Decimal(row[column]) * per_unit))
        except (ValueError, TypeError, InvalidOperation) as error:
            raise ConfigError(f"line {rows.line_num} of the load profile: {error!r}") from error
        times.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if len(times) < _ROWS_MIN:
        raise ConfigError(f"a load profile of {len(times)} rows has no step")
    step = times[1] - times[0]
    for number, (before, after) in enumerate(pairwise(times), 3):
        if after - before != step or step <= timedelta(0):
            raise ConfigError(f"line {number} of the load profile is not {step} after the last")
    return times[0], step, watts


def of_curve(
    lines: Iterable[str], *, column: str, meter: str, profile_name: str
) -> Iterator[Record]:
    """The telegrams of a meter that measures a load profile, one at the end of each step.

    Raises:
        ConfigError: the load profile or the meter's name is wrong.
        ProfileError: no such profile.
    """
    begin, step, watts = read_curve(lines, column)
    profile = registry.load(profile_name)
    reported = [profile.spec.registers[channel] for channel in profile.spec.reported]
    check_channels(reported)
    meter_id(meter)
    step_ms = step // timedelta(milliseconds=1)
    registers = Registers(round(begin.timestamp() * 1000), WATT_MS_PER_WH)
    for mean_w in watts:
        registers.at_ms += step_ms
        registers.net_w = mean_w
        registers.import_wms += max(mean_w, 0) * step_ms
        registers.export_wms += max(-mean_w, 0) * step_ms
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        readings = tuple(Reading(r, read_out(registers, r), time) for r in reported)
        octets = profile.encode(Report(meter, time, readings))
        yield bench_record(meter, profile_name, octets, registers.at_ms * 1000)
