"""Telegram records of a file, as the demo feeds them: real captures or the shipped samples."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from firmware_profiles.records import RecordError, parse_record
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """One telegram.

    Attributes:
        meter: an id made of the record's.
        profile: the profile that reads it; empty when none is installed: it will be quarantined.
        payload: its bytes.
    """

    meter: str
    profile: str
    payload: bytes


def read_records(path: Path | None) -> Iterator[BenchRecord]:
    """The records of a file, or the shipped ones. Raises ConfigError for a line that is none."""
    source = path or files("firmware_profiles") / "samples" / "telegrams.jsonl"
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the telegrams of {source}: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _record(line, f"{source}:{number}")


def _record(line: str, where: str) -> BenchRecord:
    try:
        fields = json.loads(line)
        meter = _NO_ID.sub("-", str(fields["id"]))[:64]
        payload = _payload(fields)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{where} is no telegram record: {error!r}") from error
    try:
        profile = parse_record(fields, meter).profile.spec.name
    except RecordError:
        profile = ""
    return BenchRecord(meter, profile, payload)


def _payload(fields: dict[str, str]) -> bytes:
    if "telegram_hex" in fields:
        return bytes.fromhex(fields["telegram_hex"])
    return fields["telegram_text"].encode("latin-1")
