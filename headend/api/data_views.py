"""What the routes for data at large answer with: channels, registers, groups, imports."""

from __future__ import annotations

from typing import Final

from headend.api.views import Instant, Reading, View


class ChannelEntry(View, frozen=True):
    """A channel of the dictionary: a reading is `value` x 10^`scaler` in `unit`."""

    channel: str
    obis: str
    unit: str
    scaler: int


class Registers(View, frozen=True):
    """Of each channel of a meter the last reading at or before `at`."""

    meter: str
    at: Instant
    registers: list[Reading]


class Feeder(View, frozen=True):
    """A feeder by what hangs on it."""

    feeder: str
    transformers: int
    service_points: int
    meters: int


class Group(View, frozen=True):
    """A group of meters that people made."""

    group: str
    meters: int
    created_at: Instant


class ImportFault(View, frozen=True):
    """A line that was refused; `line` counts from 1, the heading of a CSV included."""

    line: int
    detail: str


class ImportReport(View, frozen=True):
    """What became of each line of a file; after a dry run, what would have become of it.

    `unchanged` is there already with the same content. `faults` lists the first 1000 `refused`.
    """

    dry_run: bool
    lines: int
    added: int
    unchanged: int
    refused: int
    faults: list[ImportFault]


KINDS: Final = (ChannelEntry, Registers, Feeder, Group, ImportReport)
PAGED: Final = (ChannelEntry, Feeder, Group)
