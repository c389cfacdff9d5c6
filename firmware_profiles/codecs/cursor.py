"""A bounded reader over bytes: it never reads past its end and says where it stopped."""

from __future__ import annotations

from ohmesh.model.errors import DecodeError, DecodeErrorKind


def malformed(message: str, offset: int = 0) -> DecodeError:
    """The error for bytes that break a rule of their format."""
    return DecodeError(DecodeErrorKind.MALFORMED, message, offset=offset)


def unsupported(message: str, offset: int = 0) -> DecodeError:
    """The error for bytes that are well formed, but beyond what we read."""
    return DecodeError(DecodeErrorKind.UNSUPPORTED, message, offset=offset)


def bad_checksum(message: str, offset: int = 0) -> DecodeError:
    """The error for a check value that does not fit its bytes."""
    return DecodeError(DecodeErrorKind.CHECKSUM, message, offset=offset)


class Cursor:
    """Reads `data[offset:end]` front to back.

    Attributes:
        data: the whole input; offsets in errors count from its start.
        offset: the next byte to read.
        end: one past the last byte that may be read.
    """

    __slots__ = ("data", "end", "offset")

    def __init__(self, data: bytes, offset: int = 0, end: int | None = None) -> None:
        self.data = data
        self.offset = offset
        self.end = len(data) if end is None else min(end, len(data))

    @property
    def remaining(self) -> int:
        """Bytes left to read."""
        return self.end - self.offset

    def truncated(self, wanted: int) -> DecodeError:
        """The error for `wanted` bytes that are not there."""
        return DecodeError(
            DecodeErrorKind.TRUNCATED,
            f"{wanted} bytes wanted, {self.remaining} left",
            offset=self.offset,
        )

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises DecodeError(TRUNCATED)."""
        start = self.offset
        stop = start + count
        if count < 0 or stop > self.end:
            raise self.truncated(count)
        self.offset = stop
        return self.data[start:stop]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raises DecodeError(TRUNCATED)."""
        if count < 0 or self.offset + count > self.end:
            raise self.truncated(count)
        self.offset += count

    def u8(self) -> int:
        """The next byte. Raises DecodeError(TRUNCATED)."""
        start = self.offset
        if start >= self.end:
            raise self.truncated(1)
        self.offset = start + 1
        return self.data[start]

    def peek(self) -> int:
        """The next byte, not consumed. Raises DecodeError(TRUNCATED)."""
        if self.offset >= self.end:
            raise self.truncated(1)
        return self.data[self.offset]

    def unsigned(self, count: int) -> int:
        """A big-endian unsigned integer of `count` bytes. Raises DecodeError(TRUNCATED)."""
        return int.from_bytes(self.take(count), "big")

    def signed(self, count: int) -> int:
        """A big-endian two's-complement integer of `count` bytes. Raises DecodeError."""
        return int.from_bytes(self.take(count), "big", signed=True)

    def short_length(self) -> int:
        """A length: one byte below 80, else 81 or 82 and one or two bytes. Raises DecodeError."""
        first = self.u8()
        if first < 0x80:
            return first
        if first not in (0x81, 0x82):
            raise malformed(f"a length of {first & 0x7F} bytes", self.offset - 1)
        return self.unsigned(first & 0x7F)

    def unsigned_le(self, count: int) -> int:
        """A little-endian unsigned integer of `count` bytes. Raises DecodeError(TRUNCATED)."""
        return int.from_bytes(self.take(count), "little")

    def expect(self, octets: bytes, what: str) -> None:
        """Consume exactly these bytes. Raises DecodeError(MALFORMED) for others."""
        start = self.offset
        if self.take(len(octets)) != octets:
            raise malformed(f"no {what} ({octets.hex()})", start)

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.remaining)
