"""APDUs of a client session as values: GET, SET, ACTION with blocks and lists.

`apdu_wire` has their bytes. Source: IEC 62056-5-3, clause 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from firmware_profiles.codecs import axdr

if TYPE_CHECKING:
    from ohmesh.model.obis import Obis


class Tag(IntEnum):
    """First byte of an APDU."""

    INITIATE_REQUEST = 0x01
    INITIATE_RESPONSE = 0x08
    CONFIRMED_SERVICE_ERROR = 0x0E
    DATA_NOTIFICATION = 0x0F
    GLO_INITIATE_REQUEST = 0x21
    GLO_INITIATE_RESPONSE = 0x28
    AARQ = 0x60
    AARE = 0x61
    RLRQ = 0x62
    RLRE = 0x63
    GET_REQUEST = 0xC0
    SET_REQUEST = 0xC1
    ACTION_REQUEST = 0xC3
    GET_RESPONSE = 0xC4
    SET_RESPONSE = 0xC5
    ACTION_RESPONSE = 0xC7
    EXCEPTION_RESPONSE = 0xD8


class Service(IntEnum):
    """What is asked for; the number is the request's tag, the response's is 4 higher."""

    GET = Tag.GET_REQUEST
    SET = Tag.SET_REQUEST
    ACTION = Tag.ACTION_REQUEST


RESPONSE_OFFSET = 4
_GLO_OFFSET = 8
_DED_OFFSET = 16
_SERVICES = (0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7)
DEDICATED = frozenset(tag + _DED_OFFSET for tag in _SERVICES)
"""Tags of service APDUs under the dedicated key (ded-, D0..)."""
CIPHERED = frozenset(tag + _GLO_OFFSET for tag in _SERVICES) | DEDICATED
"""Tags of service APDUs under a key: the global one (glo-, C8..) or the dedicated one."""


def ciphered_tag(tag: int, *, dedicated: bool) -> int:
    """The tag of the ciphered form of a service APDU."""
    return tag + (_DED_OFFSET if dedicated else _GLO_OFFSET)


@dataclass(frozen=True, slots=True)
class Target:
    """An attribute or a method of an object.

    Attributes:
        class_id: interface class.
        obis: logical name.
        index: number of the attribute or method, from 1.
    """

    class_id: int
    obis: Obis
    index: int

    def to_bytes(self) -> bytes:
        """Descriptor: class 2, logical name 6, index 1."""
        index = self.index.to_bytes(1, "big", signed=True)
        return self.class_id.to_bytes(2, "big") + self.obis.to_bytes() + index

    def __str__(self) -> str:
        return f"{self.obis} class {self.class_id} no. {self.index}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Selective access.

    Attributes:
        selector: 1 range, 2 entries (profile generic).
        parameters: encoded A-XDR data.
    """

    selector: int
    parameters: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a long value.

    Attributes:
        number: from 1.
        last: no more follow.
        data: its bytes.
    """

    number: int
    last: bool
    data: bytes

    def to_bytes(self) -> bytes:
        """Last 1, number 4, length, data."""
        head = bytes((self.last,)) + self.number.to_bytes(4, "big")
        return head + axdr.length_bytes(len(self.data)) + self.data


@dataclass(frozen=True, slots=True)
class NormalRequest:
    """A request of one attribute or method; `data` is its value or parameter, encoded."""

    service: Service
    invoke: int
    target: Target
    selection: Selection | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A GET or SET of several attributes; `data` has a value for each in a SET."""

    service: Service
    invoke: int
    targets: tuple[tuple[Target, Selection | None], ...]
    data: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class NextRequest:
    """A request for the block after `number` (GET: of the same value; ACTION: of the result)."""

    service: Service
    invoke: int
    number: int


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """A piece of the value of a SET or of the parameter of an ACTION; the first has a target."""

    service: Service
    invoke: int
    block: Block
    target: Target | None = None
    selection: Selection | None = None


Request: TypeAlias = NormalRequest | ListRequest | NextRequest | BlockRequest


@dataclass(frozen=True, slots=True)
class NormalResponse:
    """The answer to one request.

    Attributes:
        service: of the request.
        invoke: of the request.
        result: 0 for success.
        data: encoded value, empty for none.
    """

    service: Service
    invoke: int
    result: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class ListResponse:
    """Results of a list request: number and, for a GET that succeeded, encoded value."""

    service: Service
    invoke: int
    results: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class BlockResponse:
    """A piece of the answer; `result` is not 0 when the transfer ends in an error."""

    service: Service
    invoke: int
    block: Block
    result: int = 0


@dataclass(frozen=True, slots=True)
class AcceptedResponse:
    """The block of a long SET or ACTION request arrived; `result` when it was the last."""

    service: Service
    invoke: int
    number: int
    result: int | None = None


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """The server could not treat the request at all.

    Attributes:
        state: 1 service not allowed, 2 service unknown.
        service: 1 operation not possible, 2 service not supported, 3 other reason, 4 PDU too
            long, 5 deciphering error, 6 invocation counter error.
        counter: the counter that the server expects, with service error 6.
    """

    state: int
    service: int
    counter: int | None = None

    def to_bytes(self) -> bytes:
        """D8, state error, service error, and the counter where there is one."""
        tail = b"" if self.counter is None else self.counter.to_bytes(4, "big")
        return bytes((Tag.EXCEPTION_RESPONSE, self.state, self.service)) + tail


Response: TypeAlias = (
    NormalResponse | ListResponse | BlockResponse | AcceptedResponse | ExceptionResponse
)
