"""Opening and closing an association: AARQ, AARE, RLRQ, RLRE and xDLMS Initiate.

ACSE APDUs are BER (ISO/IEC 8650-1 as profiled by IEC 62056-5-3, clause 7.2 and annex D):

    60 AARQ                                 61 AARE
      A1 application context name             A1 application context name
      A6 calling AP title (system title)      A2 result                A3 diagnostic
      8A sender ACSE requirements             A4 responding AP title
      8B mechanism name                       88 responder ACSE requirements   89 mechanism name
      AC calling authentication value         AA responding authentication value
      BE user information: Initiate           BE user information: Initiate
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from firmware_profiles.codecs.cursor import Cursor, malformed, unsupported
from firmware_profiles.codecs.dlms.apdu import Tag
from firmware_profiles.codecs.dlms.security import read_length

_OID_CONTEXT = bytes.fromhex("608574050801")
_OID_MECHANISM = bytes.fromhex("608574050802")
VERSION = 6
_VAA_LOGICAL_NAMES = 0x0007
_CONFORMANCE_HEAD = bytes.fromhex("5f1f0400")
_REQUIREMENTS = bytes.fromhex("0780")
"""Bit string, 7 unused bits: authentication functional unit."""


class Context(IntEnum):
    """Application context: logical names, with or without ciphering."""

    PLAIN = 1
    CIPHERED = 3


class Mechanism(IntEnum):
    """How the client authenticates itself."""

    NONE = 0
    LOW = 1
    """A password."""
    HIGH_GMAC = 5
    """Challenges both ways, answered with AES-GMAC."""


class Conformance(IntFlag):
    """Services, as bits of the conformance block (bit 0 of the standard is the highest here)."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    ATTRIBUTE0_GET = 1 << 13
    BLOCK_GET = 1 << 12
    BLOCK_SET = 1 << 11
    BLOCK_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    DATA_NOTIFICATION = 1 << 7
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


OURS = (
    Conformance.BLOCK_GET
    | Conformance.BLOCK_SET
    | Conformance.BLOCK_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)
"""What client and server here do."""


@dataclass(frozen=True, slots=True)
class Initiate:
    """xDLMS InitiateRequest and InitiateResponse.

    Attributes:
        conformance: proposed or negotiated services; bits beyond the enumeration are kept.
        pdu_max: largest APDU that the sender takes, 0 for no limit.
        dedicated_key: for ded-ciphering, in a request only; empty for none.
    """

    conformance: int
    pdu_max: int
    dedicated_key: bytes = b""

    def request_bytes(self) -> bytes:
        """InitiateRequest."""
        key = (
            bytes((1, len(self.dedicated_key))) + self.dedicated_key
            if self.dedicated_key
            else b"\0"
        )
        return bytes((Tag.INITIATE_REQUEST,)) + key + b"\0\0" + self._tail()

    def response_bytes(self) -> bytes:
        """InitiateResponse."""
        vaa = _VAA_LOGICAL_NAMES.to_bytes(2, "big")
        return bytes((Tag.INITIATE_RESPONSE, 0)) + self._tail() + vaa

    def _tail(self) -> bytes:
        conformance = self.conformance.to_bytes(3, "big")
        return bytes((VERSION,)) + _CONFORMANCE_HEAD + conformance + self.pdu_max.to_bytes(2, "big")


def parse_initiate(apdu: bytes) -> Initiate:
    """Read an InitiateRequest or InitiateResponse. Raises DecodeError."""
    cursor = Cursor(apdu)
    tag = cursor.u8()
    key = b""
    if tag == Tag.INITIATE_REQUEST:
        key = cursor.take(cursor.u8()) if cursor.u8() else b""
        if cursor.u8():
            cursor.skip(1)
    elif tag == Tag.CONFIRMED_SERVICE_ERROR:
        raise unsupported(f"the server answers with the service error {apdu.hex()}")
    elif tag != Tag.INITIATE_RESPONSE:
        raise unsupported(f"the APDU {tag:02X} is no Initiate")
    if cursor.u8():
        cursor.skip(1)
    if (version := cursor.u8()) != VERSION:
        raise unsupported(f"DLMS version {version}", cursor.offset - 1)
    cursor.expect(_CONFORMANCE_HEAD, "conformance block")
    conformance, pdu_max = cursor.unsigned(3), cursor.unsigned(2)
    return Initiate(conformance, pdu_max, key)


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """AARQ.

    Attributes:
        context: with ciphering or without.
        mechanism: how the client authenticates itself.
        title: client system title, empty for none.
        value: password, or the client's challenge.
        user: Initiate, plain or ciphered.
    """

    context: Context
    mechanism: Mechanism
    title: bytes
    value: bytes
    user: bytes

    def to_bytes(self) -> bytes:
        """The APDU."""
        parts = _context_bytes(self.context)
        if self.title:
            parts += _tlv(0xA6, _tlv(0x04, self.title))
        if self.mechanism is not Mechanism.NONE:
            parts += _tlv(0x8A, _REQUIREMENTS)
            parts += _tlv(0x8B, _OID_MECHANISM + bytes((self.mechanism,)))
            parts += _tlv(0xAC, _tlv(0x80, self.value))
        return _tlv(Tag.AARQ, parts + _tlv(0xBE, _tlv(0x04, self.user)))


@dataclass(frozen=True, slots=True)
class AssociationResponse:
    """AARE.

    Attributes:
        context: as in the request.
        accepted: result 0.
        diagnostic: why not, or AUTHENTICATION_REQUIRED.
        mechanism: as in the request.
        title: server system title, empty for none.
        value: the server's challenge, empty for none.
        user: Initiate, plain or ciphered, empty for none.
    """

    context: Context
    accepted: bool
    diagnostic: int
    mechanism: Mechanism = Mechanism.NONE
    title: bytes = b""
    value: bytes = b""
    user: bytes = b""

    def to_bytes(self) -> bytes:
        """The APDU."""
        parts = _context_bytes(self.context)
        parts += _tlv(0xA2, _tlv(0x02, bytes((not self.accepted,))))
        parts += _tlv(0xA3, _tlv(0xA1, _tlv(0x02, bytes((self.diagnostic,)))))
        if self.title:
            parts += _tlv(0xA4, _tlv(0x04, self.title))
        if self.value:
            parts += _tlv(0x88, _REQUIREMENTS)
            parts += _tlv(0x89, _OID_MECHANISM + bytes((self.mechanism,)))
            parts += _tlv(0xAA, _tlv(0x80, self.value))
        if self.user:
            parts += _tlv(0xBE, _tlv(0x04, self.user))
        return _tlv(Tag.AARE, parts)


def _context_bytes(context: Context) -> bytes:
    return _tlv(0xA1, _tlv(0x06, _OID_CONTEXT + bytes((context,))))


def _tlv(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes((tag, length)) + value
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + value


def _fields(apdu: bytes, tag: int) -> dict[int, bytes]:
    """Tag -> contents of the elements of an ACSE APDU; its own tag must be `tag`."""
    cursor = Cursor(apdu)
    found: dict[int, bytes] = {}
    if cursor.u8() != tag:
        raise unsupported(f"the APDU {apdu[:1].hex()} where {tag:02X} is due")
    end = read_length(cursor) + cursor.offset
    if end != len(apdu):
        raise malformed(f"{len(apdu) - end} bytes behind the APDU", end)
    while cursor.remaining:
        element = cursor.u8()
        found[element] = cursor.take(read_length(cursor))
    return found


def _inner(value: bytes, tag: int, what: str) -> bytes:
    """The contents of the one element in a value."""
    cursor = Cursor(value)
    if cursor.u8() != tag:
        raise malformed(f"no {what}")
    return cursor.take(read_length(cursor))


def _enumeration(kind: type[IntEnum], oid: bytes, head: bytes, what: str) -> int:
    if oid[:-1] != head or oid[-1] not in kind._value2member_map_:
        raise unsupported(f"the {what} {oid.hex()}")
    return oid[-1]


def _common(fields: dict[int, bytes], mechanism: int) -> tuple[Context, Mechanism]:
    context = _inner(fields.get(0xA1, b"\x06\x00"), 0x06, "context name")
    name = fields.get(mechanism)
    return (
        Context(_enumeration(Context, context, _OID_CONTEXT, "application context")),
        Mechanism.NONE
        if name is None
        else Mechanism(_enumeration(Mechanism, name, _OID_MECHANISM, "mechanism")),
    )


def _optional(fields: dict[int, bytes], tag: int, inner: int, what: str) -> bytes:
    return _inner(fields[tag], inner, what) if tag in fields else b""


def parse_aarq(apdu: bytes) -> AssociationRequest:
    """Read an AARQ. Raises DecodeError."""
    fields = _fields(apdu, Tag.AARQ)
    context, mechanism = _common(fields, 0x8B)
    return AssociationRequest(
        context,
        mechanism,
        _optional(fields, 0xA6, 0x04, "calling AP title"),
        _optional(fields, 0xAC, 0x80, "authentication value"),
        _optional(fields, 0xBE, 0x04, "user information"),
    )


def parse_aare(apdu: bytes) -> AssociationResponse:
    """Read an AARE. Raises DecodeError."""
    fields = _fields(apdu, Tag.AARE)
    context, mechanism = _common(fields, 0x89)
    result = _inner(fields.get(0xA2, b""), 0x02, "result")
    source = fields.get(0xA3, b"\xa1\x03\x02\x01\x00")
    diagnostic = _inner(
        _inner(source, source[0] if source else 0, "diagnostic"), 0x02, "diagnostic"
    )
    return AssociationResponse(
        context,
        result == b"\0",
        int.from_bytes(diagnostic, "big"),
        mechanism,
        _optional(fields, 0xA4, 0x04, "responding AP title"),
        _optional(fields, 0xAA, 0x80, "authentication value"),
        _optional(fields, 0xBE, 0x04, "user information"),
    )


def release_request(user: bytes = b"") -> bytes:
    """RLRQ, reason normal; `user` is the ciphered Initiate where the server wants one."""
    tail = _tlv(0xBE, _tlv(0x04, user)) if user else b""
    return _tlv(Tag.RLRQ, _tlv(0x80, b"\0") + tail)


def parse_release(apdu: bytes) -> bytes:
    """The user information of an RLRQ, empty for none. Raises DecodeError."""
    return _optional(_fields(apdu, Tag.RLRQ), 0xBE, 0x04, "user information")


def release_response() -> bytes:
    """RLRE, reason normal."""
    return _tlv(Tag.RLRE, _tlv(0x80, b"\0"))
