"""The pump between taps and a capture file."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_sim.capture.tools import Numbering, telegrams_in
from meter_sim.replay.link import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meter_sim.capture.record import Record
    from meter_sim.capture.taps import Tap
    from meter_sim.capture.writer import CaptureWriter

FLUSH_S = 1.0
"""Readers of a growing file see records at most so much later."""
_TURN_S = 0.2


@dataclass(slots=True)
class Recorded:
    """What was recorded.

    Attributes:
        records: messages in the file.
        payload_bytes: their bytes.
        telegrams: telegrams in them.
        gone: why it ended early; None when it did not.
        numbering: what the numbers of uplink batches say of losses.
    """

    records: int = 0
    payload_bytes: int = 0
    telegrams: int = 0
    gone: str | None = None
    numbering: Numbering = field(default_factory=Numbering)

    def note(self, record: Record) -> None:
        """Count one record."""
        self.records += 1
        self.payload_bytes += len(record.payload)
        self.telegrams += telegrams_in(record)
        self.numbering.look(record)


def record(
    taps: Sequence[Tap],
    writer: CaptureWriter,
    *,
    seconds: float | None,
    count: int | None,
    stop: Callable[[], bool],
) -> Recorded:
    """Record until told to stop, for so long, so many records, or until a tap is gone."""
    recorded = Recorded()
    began_s = flushed_s = time.monotonic()
    while not stop() and (count is None or recorded.records < count):
        now_s = time.monotonic()
        if seconds is not None and now_s - began_s >= seconds:
            break
        if now_s - flushed_s >= FLUSH_S:
            writer.flush()
            flushed_s = now_s
        try:
            _turn(taps, writer, recorded, count)
        except LinkError as error:
            recorded.gone = str(error)
            break
    return recorded


def _turn(
    taps: Sequence[Tap], writer: CaptureWriter, recorded: Recorded, count: int | None
) -> None:
    select.select([fd for tap in taps for fd in tap.descriptors()], [], [], _TURN_S)
    for tap in taps:
        for one in tap.read():
            if count is None or recorded.records < count:
                writer.write(one)
                recorded.note(one)
