"""Write a capture: blocks as they fill, an index at the end; readable while it grows."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Self

import msgspec

from meter_sim.capture import format as form
from meter_sim.capture.block import encode_block
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meter_sim.capture.record import Header, Record

BLOCK_RECORDS = 4096
BLOCK_BYTES = 4 * 1024 * 1024


def check_apart(out: Path, *sources: Path) -> None:
    """Raises ConfigError: writing would empty the file that is read."""
    if any(out.exists() and source.exists() and out.samefile(source) for source in sources):
        raise ConfigError(f"{out} is the capture that is read; name another file to write")


class CaptureWriter:
    """A capture being written; a context manager.

    Where blocks end depends on the records alone unless somebody calls `flush`, so that the same
    records give the same bytes.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Raises ConfigError when the file cannot be made."""
        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise ConfigError(f"cannot write the capture {path}: {error.strerror}") from error
        self.count = 0
        self._offset = 0
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._index: list[form.IndexEntry] = []
        self._put(form.preamble())
        self._put(form.chunk(form.HEAD, msgspec.msgpack.encode(header)))
        self._file.flush()

    def write(self, record: Record) -> None:
        """Append one record."""
        self._waiting.append(record)
        self._waiting_bytes += len(record.payload)
        if len(self._waiting) >= BLOCK_RECORDS or self._waiting_bytes >= BLOCK_BYTES:
            self.flush()

    def extend(self, records: Iterable[Record]) -> Self:
        """Append records."""
        for record in records:
            self.write(record)
        return self

    def flush(self) -> None:
        """End the block, so that readers see what is in it."""
        if not self._waiting:
            return
        times = [record.at_us for record in self._waiting]
        entry = form.IndexEntry(self._offset, len(times), min(times), max(times))
        self._index.append(entry)
        self._put(form.chunk(form.DATA, encode_block(self._waiting)))
        self.count += len(times)
        self._waiting, self._waiting_bytes = [], 0
        self._file.flush()

    def close(self) -> None:
        """Write what waits, the index and the trailer."""
        if self._file.closed:
            return
        self.flush()
        offset = self._offset
        self._put(form.chunk(form.INDEX, form.encode_index(self._index)))
        self._put(form.trailer(offset))
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, octets: bytes) -> None:
        self._file.write(octets)
        self._offset += len(octets)
