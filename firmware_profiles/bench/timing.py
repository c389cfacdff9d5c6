"""Telegrams with the CPU time that decoding each takes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firmware_profiles.records import Record, parse_record
from ohmesh.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure one telegram.

    Attributes:
        rounds: how often; the best round counts, because other programs only ever slow us down.
        round_s: least CPU seconds a round.
    """

    rounds: int
    round_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """A telegram and its time.

    Attributes:
        fields: its record, as the file has it.
        record: the same, parsed.
        us: CPU microseconds of decoding it, from octets to readings on registers.
    """

    fields: Mapping[str, Any]
    record: Record
    us: float


def cpu_us(record: Record, effort: Effort) -> float:
    """CPU microseconds of decoding a telegram. Raises DecodeError."""
    best = float("inf")
    decode = record.decode
    for _ in range(effort.rounds):
        calls, begin = 0, time.process_time()
        while (taken := time.process_time() - begin) < effort.round_s:
            decode()
            calls += 1
        best = min(best, taken / calls)
    return best * 1e6


def timed(lines: Iterable[str], effort: Effort) -> Iterator[Timed]:
    """The telegrams in lines of JSON that decode; what is refused has no time."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = json.loads(line)
        record = parse_record(fields, f"line {number}")
        try:
            record.decode()
        except DecodeError:
            continue
        yield Timed(fields, record, cpu_us(record, effort))


def lines_of(paths: Iterable[Path]) -> Iterator[str]:
    """The lines of files, one after the other."""
    for path in paths:
        yield from path.read_text(encoding="utf-8").splitlines()
