"""The truth file: what the simulated meters produced, a JSON object a line, in order.

Lines are written before the turn that made them is committed, and the file's length is part of
that commit: at the next start with the same store, lines of a turn that never was are cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meter_sim.store import FleetStore
    from ohmesh.model.reading import Reading

_encoder = msgspec.json.Encoder()


class TruthFile:
    """One file; `path` None writes nothing."""

    def __init__(self, path: Path | None, store: FleetStore) -> None:
        """Raises ConfigError when the file cannot be written."""
        self._store = store
        self._file = None
        self._written = False
        if path is None:
            return
        self._fact = f"truth bytes of {path.resolve()}"
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise ConfigError(f"the truth file {path}: {error.strerror}") from error
        self._file.truncate(store.fact(self._fact))
        self._file.seek(0, 2)

    def write(self, meter: str, readings: Iterable[Reading]) -> None:
        """Append what a meter produced."""
        if self._file:
            self._written = True
            self._file.writelines(_line(meter, reading) for reading in readings)

    def flush(self) -> None:
        """Hand new lines to the system and note the length for the commit that follows."""
        if self._file and self._written:
            self._written = False
            self._file.flush()
            self._store.put_fact(self._fact, self._file.tell())

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


def _line(meter: str, reading: Reading) -> bytes:
    register = reading.register
    fields = {
        "meter": meter,
        "channel": register.channel,
        "interval_end": reading.time,
        "value": reading.value,
        "unit": register.unit,
        "scaler": register.scaler,
    }
    return _encoder.encode(fields) + b"\n"
