"""A capture as an MCAP file, for Foxglove and its kin; needs the package `mcap` (extra `sim`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcap.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meter_sim.capture.record import Header, Record

_NO_SCHEMA = 0
_ENCODING = "application/octet-stream"


def write_mcap(path: Path, header: Header, records: Iterable[Record]) -> int:
    """Write all records, a channel a channel; how many. Times are nanoseconds since 1970."""
    channels: dict[str, int] = {}
    count = 0
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library=header.made_by or "ohmesh")
        for count, record in enumerate(records, 1):
            channel = channels.get(record.channel)
            if channel is None:
                channel = writer.register_channel(record.channel, _ENCODING, _NO_SCHEMA)
                channels[record.channel] = channel
            at_ns = max(0, record.at_us) * 1000
            writer.add_message(channel, at_ns, record.payload, at_ns, sequence=count % 2**32)
        writer.finish()  # type: ignore[no-untyped-call]  # the package's own
    return count
