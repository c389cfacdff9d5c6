"""What the demo was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `ohmesh demo`.

    Attributes:
        meters: simulated meters, 6..1000.
        seed: fixes street, radio and loads.
        telegrams: a file of telegram records to feed through a gateway; None takes the shipped one.
        serve: keep API and dashboard up at the end, until Ctrl-C.
        truth: where the simulated meters write what they produced; None takes a temporary file.
        database: address of a real PostgreSQL superuser (for bootstrap only); None starts one.
        broker: address of a real MQTT 5 broker; None starts one.
        quiet: print nothing but the last line.
    """

    meters: int
    seed: int
    telegrams: Path | None
    serve: bool
    truth: Path | None
    database: str | None
    broker: str | None
    quiet: bool
