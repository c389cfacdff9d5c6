"""Meter <-> head-end, end to end: AES-CCM (RFC 3610) under a key that only these two hold.

| offset | size | field |
|---|---|---|
| 0 | 1 | version and kind: high nibble 1, low nibble `SealedKind` |
| 1 | 4 | counter, big-endian, strictly rising per sender and key |
| 5 | n | ciphertext |
| 5+n | 8 | tag |

Nonce, 13 bytes: direction (1: 0 up, 1 down), 8 bytes zero, counter (4). The key is a meter's own,
so the counter alone makes the nonce unique; the direction keeps the two senders apart. Associated
data: the first five bytes and the meter's address, so that no telegram passes for another meter's.
A gateway or relay without the key can neither read nor alter nor swap what it carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from ohmesh.model.command import NEEDS_RELEASE, CommandKind
from ohmesh.model.errors import BadChecksum, Malformed, Truncated, UnknownVersion

KEY_BYTES = 16
_TAG_BYTES = 8
_HEADER_BYTES = 5
OVERHEAD_BYTES = _HEADER_BYTES + _TAG_BYTES
_VERSION = 1


class SealedKind(IntEnum):
    """What is inside."""

    REPORT = 1
    """Up: a telegram of the meter's profile."""
    RESULT = 2
    """Up: a CommandResult (`ohmesh.wire.metercommand`)."""
    COMMAND = 3
    """Down: a Command (`ohmesh.wire.metercommand`)."""
    EVENT = 4
    """Up: an event of the meter, UTF-8 JSON."""
    RELEASED = 5
    """Down: a Command that takes supply away (`ohmesh.model.command.NEEDS_RELEASE`). The kind
    stands in the clear and under the seal: a gateway sees it and asks for the gate's release
    (`ohmesh.wire.release`), and a meter refuses such a command under any other kind."""


_DOWN = frozenset({SealedKind.COMMAND, SealedKind.RELEASED})


def kind_of_command(kind: CommandKind) -> SealedKind:
    """The seal under which a command travels, and the only one under which a meter takes it."""
    return SealedKind.RELEASED if kind in NEEDS_RELEASE else SealedKind.COMMAND


def takes_supply_away(octets: bytes) -> bool:
    """Whether a sealed message is one that needs a release; any bytes, no key needed."""
    return bool(octets) and octets[0] & 0x0F == SealedKind.RELEASED


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that passed its tag."""

    kind: SealedKind
    counter: int
    body: bytes


def _nonce(kind: SealedKind, counter: int) -> bytes:
    return bytes((kind in _DOWN,)) + bytes(8) + counter.to_bytes(4, "big")


def seal(key: bytes, address: str, kind: SealedKind, counter: int, body: bytes) -> bytes:
    """Seal one message; `counter` 0..2**32-1, never used before with this key and direction."""
    header = bytes((_VERSION << 4 | kind,)) + counter.to_bytes(4, "big")
    cipher = AESCCM(key, tag_length=_TAG_BYTES)
    return header + cipher.encrypt(_nonce(kind, counter), body, header + address.encode())


def unseal(key: bytes, address: str, octets: bytes) -> Opened:
    """Open one message.

    Raises:
        Truncated, UnknownVersion, Malformed: it is not of this form.
        BadChecksum: another key, another meter, or altered on the way.
    """
    if len(octets) < OVERHEAD_BYTES:
        raise Truncated(f"{len(octets)} bytes; a sealed message has at least {OVERHEAD_BYTES}")
    if octets[0] >> 4 != _VERSION:
        raise UnknownVersion(f"sealed version {octets[0] >> 4}")
    try:
        kind = SealedKind(octets[0] & 0x0F)
    except ValueError as error:
        raise Malformed(str(error)) from error
    header, counter = octets[:_HEADER_BYTES], int.from_bytes(octets[1:_HEADER_BYTES], "big")
    cipher = AESCCM(key, tag_length=_TAG_BYTES)
    try:
        body = cipher.decrypt(
            _nonce(kind, counter), octets[_HEADER_BYTES:], header + address.encode()
        )
    except InvalidTag:
        raise BadChecksum("the seal does not fit this meter's key") from None
    return Opened(kind, counter, body)
