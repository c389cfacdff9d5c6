"""Lines of a gateway's bench port (`gateway.drivers.bench` is the other side)."""

from __future__ import annotations

import msgspec

from ohmesh.model.errors import Malformed


class BenchLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One telegram for the bench port."""

    meter: str
    profile: str
    payload_hex: str
    received_at_ms: int | None = None

    @property
    def payload(self) -> bytes:
        """The telegram's bytes. Raises Malformed."""
        try:
            return bytes.fromhex(self.payload_hex)
        except ValueError as error:
            raise Malformed(f"payload_hex: {error}") from error


_decoder = msgspec.json.Decoder(BenchLine)
_encoder = msgspec.json.Encoder()


def encode_line(line: BenchLine) -> bytes:
    """The JSON text, without its newline."""
    return _encoder.encode(line)


def decode_line(octets: bytes) -> BenchLine:
    """The line in the bytes. Raises Malformed, whatever the bytes."""
    try:
        return _decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"no line of a bench port: {error}") from error
