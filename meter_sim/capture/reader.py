"""Read a capture: strictly, or what is whole of a damaged one.

Theory of operation. A closed file has an index at its end, which is believed when trailer, index
chunk and CRC agree; `seek` uses it. Without one the chunks are walked. `records()` raises
CaptureError at the first byte that is wrong, after it has given everything before; `salvage()`
goes on behind the damage at the next chunk whose CRC agrees and never raises for the file's bytes.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from meter_sim.capture import format as form
from meter_sim.capture.block import decode_block
from meter_sim.capture.format import CaptureError, IndexEntry
from meter_sim.capture.record import Header
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meter_sim.capture.record import Record

_FAR_US = 2**63
_T = TypeVar("_T")
_header_decoder = msgspec.msgpack.Decoder(Header)


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that cannot be read.

    Attributes:
        offset: its first byte.
        end: one past its last byte.
        reason: what is wrong.
    """

    offset: int
    end: int
    reason: str


class CaptureReader:
    """A capture file; a context manager.

    Attributes:
        header: what it says of itself.
        closed: its writer came to an end; False: being written, or cut off.
    """

    def __init__(self, path: Path, *, damaged: bool = False) -> None:
        """Open a file.

        Args:
            path: the file.
            damaged: go on without a sound header; for `salvage`.

        Raises:
            CaptureError: no capture of our version.
            ConfigError: no file.
        """
        self._name = str(path)
        try:
            with path.open("rb") as file:
                self._size = file.seek(0, 2)
                empty = b"" if self._size == 0 else None
                self._octets: mmap.mmap | bytes = (
                    empty
                    if empty is not None
                    else mmap.mmap(file.fileno(), self._size, access=mmap.ACCESS_READ)
                )
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the capture {path}: {error}") from error
        self.header = Header()
        self._first_data = 0
        self._index: list[IndexEntry] | None = None
        try:
            self._open()
        except CaptureError as error:
            if not (damaged and error.offset != form.VERSION_AT):
                self.close()
                raise CaptureError(error.reason, error.offset, self._name) from None
        self.closed = self._index is not None

    def _open(self) -> None:
        form.check_preamble(self._octets[: form.FIRST_CHUNK])
        kind, body, self._first_data = self._chunk(form.FIRST_CHUNK)
        if kind != form.HEAD:
            raise CaptureError("the first chunk is no header", form.FIRST_CHUNK)
        try:
            self.header = _header_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CaptureError(f"a header that is none: {error}", form.FIRST_CHUNK) from None
        self._index = self._read_index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        if isinstance(self._octets, mmap.mmap):
            self._octets.close()

    @property
    def size_bytes(self) -> int:
        """Length of the file when it was opened."""
        return self._size

    @property
    def blocks(self) -> int | None:
        """How many blocks there are; None when only walking the file would tell."""
        return None if self._index is None else len(self._index)

    def records(self) -> Iterator[Record]:
        """All records. Raises CaptureError where the file is cut off or damaged, after the rest."""
        offset = self._first_data
        while not self._is_tail(offset):
            records, offset = self._named(self._block, offset)
            yield from records
        if self._index is None:
            raise CaptureError("its index or trailer is damaged or cut off", offset, self._name)

    def seek(self, from_us: int, to_us: int | None = None) -> Iterator[Record]:
        """Records from a time on, up to but without another. Raises CaptureError, as `records`.

        Only blocks that can hold one are decoded when the file has an index.
        """
        last_us = _FAR_US if to_us is None else to_us - 1
        for record in self._candidates(from_us, last_us):
            if from_us <= record.at_us <= last_us:
                yield record

    def _candidates(self, from_us: int, last_us: int) -> Iterator[Record]:
        if self._index is None:
            yield from self.records()
            return
        for entry in self._index:
            if entry.last_us >= from_us and entry.first_us <= last_us:
                yield from self._named(self._block, entry.offset)[0]

    def salvage(self, damages: list[Damage]) -> Iterator[Record]:
        """Every record of a whole block. Args: damages: gets what could not be read."""
        offset = self._first_data
        while offset < self._size:
            if self._is_tail(offset):
                return
            try:
                records, end = self._block(offset)
            except CaptureError as error:
                end = self._next_chunk(offset + 1)
                damages.append(Damage(offset, end, error.reason))
            else:
                yield from records
            offset = end

    def _named(self, read: Callable[[int], _T], offset: int) -> _T:
        """Put the file's name to what a part of it raises."""
        try:
            return read(offset)
        except CaptureError as error:
            raise CaptureError(error.reason, error.offset, self._name) from None

    def _is_tail(self, offset: int) -> bool:
        """True where a chunk says that it is the index; nothing follows it but the trailer."""
        return bytes(self._octets[offset : offset + 4]) == form.INDEX

    def _block(self, offset: int) -> tuple[list[Record], int]:
        kind, body, end = self._chunk(offset)
        if kind != form.DATA:
            raise CaptureError(f"a chunk {kind!r} where records should be", offset)
        try:
            return decode_block(body), end
        except ValueError as error:
            raise CaptureError(str(error), offset) from None

    def _chunk(self, offset: int) -> tuple[bytes, bytes, int]:
        """(kind, body, offset behind it). Raises CaptureError."""
        head = self._octets[offset : offset + form.CHUNK.size]
        if not head:
            raise CaptureError("it ends without an index", offset)
        if len(head) < form.CHUNK.size:
            raise CaptureError("cut off within the head of a chunk", offset)
        kind, length, check = form.CHUNK.unpack(head)
        if kind not in form.KINDS or length > form.CHUNK_BYTES_MAX:
            raise CaptureError("no chunk begins here", offset)
        start = offset + form.CHUNK.size
        body = self._octets[start : start + length]
        if len(body) < length:
            raise CaptureError(f"cut off {length - len(body)} bytes before a chunk's end", offset)
        if form.crc(kind, body) != check:
            raise CaptureError("a chunk whose CRC does not agree", offset)
        return kind, body, start + length

    def _next_chunk(self, offset: int) -> int:
        """The next offset at which a chunk is whole; the file's end without one."""
        while True:
            found = [self._octets.find(kind, offset) for kind in (form.DATA, form.INDEX)]
            candidates = [at for at in found if at >= 0]
            if not candidates:
                return self._size
            offset = min(candidates)
            try:
                self._chunk(offset)
            except CaptureError:
                offset += 1
            else:
                return offset

    def _read_index(self) -> list[IndexEntry] | None:
        """The index of a closed file, None without a sound one."""
        at = form.index_offset(self._octets[max(0, self._size - form.TRAILER_BYTES) :])
        if at is None:
            return None
        try:
            kind, body, end = self._chunk(at)
            entries = form.decode_index(body)
        except (CaptureError, msgspec.DecodeError):
            return None
        sound = kind == form.INDEX and end + form.TRAILER_BYTES == self._size
        return entries if sound else None
