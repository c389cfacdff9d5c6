"""The authentication and fragmentation sublayer (EN 13757-7, chapter 6).

    90 | AFLL 1 | FCL 2 | MCL 1 ? | KI 2 ? | MCR 4 ? | MAC n ? | ML 2 ?

FCL: bit 14 more fragments, 13 MCL present, 12 ML, 11 MCR, 10 MAC, 9 KI, 7-0 fragment number.
MCL: bits 3-0 the authentication. The MAC covers MCL, MCR, ML when present, and the message from
the transport layer's CI field to the end, under a key derived for authentication.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.cursor import malformed, unsupported
from firmware_profiles.codecs.mbus.records import truncated
from firmware_profiles.codecs.mbus.security import (
    KeyUse,
    check_key,
    cmac,
    derive_key,
    key_error,
)

CI_FIELD = 0x90
_MORE, _MCL, _ML, _MCR, _MAC, _KI = 0x4000, 0x2000, 0x1000, 0x0800, 0x0400, 0x0200
_MAC_BYTES = {3: 2, 4: 4, 5: 8, 6: 12, 7: 16}
"""Authentication type -> length of an AES-128-CMAC."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """An authentication layer.

    Attributes:
        start: offset of the next CI field.
        counter: message counter, 4 bytes low first; None without one.
        mac: message authentication code, empty without one.
        covered: what the MAC covers in this layer.
    """

    start: int
    counter: bytes | None
    mac: bytes
    covered: bytes


class _Fields:
    """Takes the optional fields of the layer in their order."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def take(self, size: int) -> bytes:
        stop = self._at + size
        if stop > self._end:
            raise malformed("the fields of the AFL exceed its length", self._at)
        octets = self._data[self._at : stop]
        self._at = stop
        return octets


def read_authentication(data: bytes, start: int) -> Authentication:
    """The layer whose CI field stands at `start`.

    Raises:
        DecodeError: TRUNCATED, MALFORMED, or UNSUPPORTED for a fragment and a foreign code.
    """
    if start + 4 > len(data) or start + 2 + data[start + 1] > len(data):
        raise truncated("the authentication layer goes beyond the end", start)
    end = start + 2 + data[start + 1]
    fields = _Fields(data, start + 2, end)
    control = int.from_bytes(fields.take(2), "little")
    if control & _MORE or control & 0xFF > 1:
        raise unsupported("a message in fragments", start + 2)
    message = fields.take(1 if control & _MCL else 0)
    fields.take(2 if control & _KI else 0)
    counter = fields.take(4 if control & _MCR else 0)
    kind = message[0] & 0x0F if message else 0
    if control & _MAC and kind not in _MAC_BYTES:
        raise unsupported(f"authentication type {kind}", start + 4)
    mac = fields.take(_MAC_BYTES[kind] if control & _MAC else 0)
    length = fields.take(2 if control & _ML else 0)
    return Authentication(end, counter or None, mac, message + counter + length)


def check_mac(
    layer: Authentication, message: bytes, *, key: bytes | None, identification: bytes
) -> None:
    """Check the MAC of a message when the key is known.

    Args:
        layer: its authentication layer.
        message: from the next CI field to the end.
        key: the meter's key; None leaves the message unchecked.
        identification: of the meter, 4 bytes as sent.

    Raises:
        DecodeError: KEY when the MAC does not fit.
    """
    if key is None or not layer.mac or layer.counter is None:
        return
    derived = derive_key(check_key(key), KeyUse.AUTHENTICATION, layer.counter, identification)
    if cmac(derived, layer.covered + message)[: len(layer.mac)] != layer.mac:
        raise key_error("the message does not fit its authentication code", layer.start)
