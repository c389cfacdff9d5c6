"""A DLMS client session, sans-IO.

Each operation is a generator, an exchange: it yields the APDU to send, takes the reply, and
returns its result. Whoever has the line drives it:

    client = Client(ClientSettings())
    run(client.associate(), line.round_trip)
    value = run(client.get(Target(3, Obis.parse("1-0:1.8.0"), 2)), line.round_trip)

Time, randomness and sockets are the caller's: challenges and counters come in by the settings.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.dlms import acse
from firmware_profiles.codecs.dlms.acse import Context, Initiate, Mechanism
from firmware_profiles.codecs.dlms.apdu import (
    AcceptedResponse,
    Block,
    BlockRequest,
    BlockResponse,
    ExceptionResponse,
    ListRequest,
    ListResponse,
    NextRequest,
    NormalRequest,
    NormalResponse,
    Selection,
    Service,
    Target,
)
from firmware_profiles.codecs.dlms.apdu_wire import parse_response, request_bytes
from firmware_profiles.codecs.dlms.channel import SecureChannel
from firmware_profiles.codecs.dlms.errors import (
    AccessRefused,
    AccessResult,
    AssociationRefused,
    Diagnostic,
    SequenceError,
)
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firmware_profiles.api import Keys
    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.apdu import Request, Response

_T = TypeVar("_T")
Exchange: TypeAlias = Generator[bytes, bytes, _T]
"""Yields APDUs, is sent replies, returns a result."""

ASSOCIATION = Obis.parse("0-0:40.0.0")
"""The current association, class 15."""
_CLOCK = Obis.parse("0-0:1.0.0")
_CLASS_ASSOCIATION, _CLASS_PROFILE, _CLASS_CLOCK = 15, 7, 8
_BUFFER = 2
_REPLY_TO_HLS = 1
_INVOKE = 0xC0
"""High priority, confirmed."""
_INVOKE_MASK = 0x0F
LONG_BYTES_MAX = 4 * 1024 * 1024
LONG_ITEMS_MAX = 1_000_000
_BLOCK_OVERHEAD = 64
"""Bytes of an APDU that are not block data, at most: descriptor, block header, ciphering."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client opens its session.

    Attributes:
        mechanism: NONE, LOW with `password`, or HIGH_GMAC with `keys` and `challenge`.
        password: of the low-level security.
        keys: global unicast and authentication key.
        title: our system title, 8 bytes; needed with keys.
        control: security control of all APDUs, 0 for none, 0x30 for authenticated and encrypted.
        counter: first invocation counter; higher than any used before with this key.
        challenge: 8 to 64 random bytes for HIGH_GMAC.
        dedicated_key: 16 random bytes to be agreed for this session, empty for none.
        pdu_max: largest APDU that we take.
    """

    mechanism: Mechanism = Mechanism.NONE
    password: bytes = b""
    keys: Keys | None = None
    title: bytes = b""
    control: int = 0
    counter: int = 1
    challenge: bytes = b""
    dedicated_key: bytes = b""
    pdu_max: int = 0xFFFF


def run(exchange: Exchange[_T], round_trip: Callable[[bytes], bytes]) -> _T:
    """Drive an exchange over a blocking line: `round_trip` sends an APDU and returns the reply."""
    try:
        request = next(exchange)
        while True:
            request = exchange.send(round_trip(request))
    except StopIteration as stop:
        result: _T = stop.value
        return result


class Client:
    """One client session; open it with `associate`."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._channel = SecureChannel(
            settings.keys, settings.title, control=settings.control, counter=settings.counter
        )
        self._invoke = 0
        self.server: Initiate | None = None
        """What the server agreed to, None before the association stands."""

    @property
    def counter(self) -> int:
        """The next invocation counter; keep it for the next session with the same key."""
        return self._channel.counter

    def associate(self) -> Exchange[Initiate]:
        """Open the association, high-level authentication included.

        Raises:
            AssociationRefused: by the server, or because it does not prove that it has the key.
            DecodeError: a reply that cannot be read.
        """
        settings = self._settings
        ciphered = bool(settings.control)
        initiate = Initiate(acse.OURS, settings.pdu_max, settings.dedicated_key)
        high = settings.mechanism is Mechanism.HIGH_GMAC
        request = acse.AssociationRequest(
            Context.CIPHERED if ciphered else Context.PLAIN,
            settings.mechanism,
            settings.title if ciphered or high else b"",
            settings.challenge if high else settings.password,
            self._channel.protect(initiate.request_bytes()),
        )
        reply = acse.parse_aare((yield request.to_bytes()))
        if not reply.accepted:
            reason = Diagnostic._value2member_map_.get(reply.diagnostic, reply.diagnostic)
            raise AssociationRefused(f"the server refuses the association: {reason!r}")
        self._channel.peer_title = reply.title
        server = acse.parse_initiate(self._channel.unprotect(reply.user))
        self._channel.dedicated = settings.dedicated_key
        self.server = server
        if high:
            yield from self._prove(reply.value)
        return server

    def _prove(self, challenge: bytes) -> Exchange[None]:
        """Passes 3 and 4 of the high-level authentication."""
        answer = axdr.octets(self._channel.challenge_answer(challenge))
        target = Target(_CLASS_ASSOCIATION, ASSOCIATION, _REPLY_TO_HLS)
        try:
            theirs = yield from self.act(target, answer)
        except AccessRefused as error:
            self.server = None
            raise AssociationRefused(f"the server does not take our proof: {error}") from error
        if not isinstance(theirs, bytes) or not self._channel.answer_fits(
            self._settings.challenge, theirs
        ):
            self.server = None
            raise AssociationRefused("the server does not prove that it has the key")

    def release(self) -> Exchange[None]:
        """Close the association. Raises DecodeError for a reply that is no RLRE."""
        user = b""
        if self._settings.control:
            initiate = Initiate(acse.OURS, self._settings.pdu_max)
            user = self._channel.protect(initiate.request_bytes())
        reply = yield acse.release_request(user)
        self.server = None
        if reply[:1] != acse.release_response()[:1]:
            raise malformed("the reply to a release is no RLRE")

    def get(self, target: Target, selection: Selection | None = None) -> Exchange[Value]:
        """Read an attribute. Raises AccessRefused, DecodeError."""
        return _decoded((yield from self.get_encoded(target, selection)))

    def get_encoded(self, target: Target, selection: Selection | None = None) -> Exchange[bytes]:
        """Read an attribute, its value left encoded. Raises AccessRefused, DecodeError."""
        invoke = self._next_invoke()
        reply = yield from self._ask(NormalRequest(Service.GET, invoke, target, selection))
        if isinstance(reply, NormalResponse):
            return _checked(reply, target)
        return (yield from self._collect(reply, target))

    def get_list(self, targets: Sequence[Target]) -> Exchange[list[Value | AccessRefused]]:
        """Read several attributes in one request; each ends in its value or its refusal."""
        invoke = self._next_invoke()
        chosen = tuple((target, None) for target in targets)
        reply = yield from self._ask(ListRequest(Service.GET, invoke, chosen))
        if isinstance(reply, BlockResponse):
            raise malformed("a list in blocks; ask for fewer attributes at once")
        if not isinstance(reply, ListResponse) or len(reply.results) != len(targets):
            raise malformed("the reply does not answer the list")
        return [
            AccessRefused(result, str(target)) if result else _decoded(data)
            for target, (result, data) in zip(targets, reply.results, strict=True)
        ]

    def set(self, target: Target, data: bytes) -> Exchange[None]:
        """Write an attribute; `data` is the encoded value. Raises AccessRefused, DecodeError."""
        invoke = self._next_invoke()
        if len(data) <= self._block_size():
            reply = yield from self._ask(NormalRequest(Service.SET, invoke, target, None, data))
        else:
            reply = yield from self._send_blocks(Service.SET, invoke, target, data)
        if isinstance(reply, AcceptedResponse) and reply.result is not None:
            if reply.result:
                raise AccessRefused(reply.result, str(target))
            return
        _checked(reply, target)

    def act(self, target: Target, data: bytes = b"") -> Exchange[Value]:
        """Invoke a method with an encoded parameter; returns what it gives back, None for nothing.

        Raises:
            AccessRefused, DecodeError.
        """
        invoke = self._next_invoke()
        if len(data) <= self._block_size():
            reply = yield from self._ask(NormalRequest(Service.ACTION, invoke, target, None, data))
        else:
            reply = yield from self._send_blocks(Service.ACTION, invoke, target, data)
        if isinstance(reply, BlockResponse):
            encoded = yield from self._collect(reply, target)
            return _decoded(encoded)
        returned = _checked(reply, target)
        return _decoded(returned) if returned else None

    def read_profile(
        self, profile: Obis, *, start: bytes, end: bytes
    ) -> Exchange[tuple[Value, ...]]:
        """Rows of a profile generic between two COSEM date-times of 12 bytes, both included.

        Raises:
            AccessRefused, DecodeError.
        """
        target = Target(_CLASS_PROFILE, profile, _BUFFER)
        rows = yield from self.get(target, range_selection(start, end))
        if not isinstance(rows, tuple):
            raise malformed("a profile buffer that is no list")
        return rows

    def read_entries(self, profile: Obis, *, first: int, last: int) -> Exchange[tuple[Value, ...]]:
        """Rows of a profile generic by their number from 1; `last` 0 means to the end."""
        window = axdr.structure(
            axdr.uint32(first), axdr.uint32(last), axdr.uint16(1), axdr.uint16(0)
        )
        target = Target(_CLASS_PROFILE, profile, _BUFFER)
        rows = yield from self.get(target, Selection(2, window))
        if not isinstance(rows, tuple):
            raise malformed("a profile buffer that is no list")
        return rows

    def _next_invoke(self) -> int:
        self._invoke = self._invoke + 1 & _INVOKE_MASK
        return _INVOKE | self._invoke

    def _block_size(self) -> int:
        if self.server is None:
            raise SequenceError("open the association first")
        return (self.server.pdu_max or 0xFFFF) - _BLOCK_OVERHEAD

    def _ask(self, request: Request) -> Exchange[Response]:
        """Send one request and read its response; an exception response is a refusal."""
        if self.server is None:
            raise SequenceError("open the association first")
        reply = yield self._channel.protect(request_bytes(request))
        response = parse_response(self._channel.unprotect(reply))
        if isinstance(response, ExceptionResponse):
            raise AccessRefused(
                AccessResult.OTHER_REASON,
                f"exception response, state {response.state}, service {response.service}",
            )
        if response.service is not request.service or response.invoke != request.invoke:
            raise malformed("the reply answers another request")
        return response

    def _collect(self, reply: Response, target: Target) -> Exchange[bytes]:
        """The long value of which `reply` is the first block."""
        parts: list[bytes] = []
        size = 0
        while True:
            if not isinstance(reply, BlockResponse) or reply.block.number != len(parts) + 1:
                raise malformed("a block out of order")
            if reply.result:
                raise AccessRefused(reply.result, str(target))
            parts.append(reply.block.data)
            size += len(reply.block.data)
            if size > LONG_BYTES_MAX:
                raise DecodeError(DecodeErrorKind.BUDGET, f"a value above {LONG_BYTES_MAX} bytes")
            if reply.block.last:
                return b"".join(parts)
            reply = yield from self._ask(NextRequest(reply.service, reply.invoke, len(parts)))

    def _send_blocks(
        self, service: Service, invoke: int, target: Target, data: bytes
    ) -> Exchange[Response]:
        """Send a long value; returns the reply to its last block."""
        size = self._block_size()
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        for number, piece in enumerate(pieces, 1):
            block = Block(number, number == len(pieces), piece)
            first = target if number == 1 else None
            reply = yield from self._ask(BlockRequest(service, invoke, block, first))
            if block.last:
                return reply
            if not isinstance(reply, AcceptedResponse) or reply.number != number:
                _checked(reply, target)
                raise malformed("the server does not accept a block")
        raise AssertionError("a long value has at least one block")


def range_selection(start: bytes, end: bytes) -> Selection:
    """Rows of a profile generic between two COSEM date-times of 12 bytes, both included."""
    restricting = axdr.structure(
        axdr.uint16(_CLASS_CLOCK),
        axdr.octets(_CLOCK.to_bytes()),
        axdr.int8(2),
        axdr.uint16(0),
    )
    window = axdr.structure(restricting, axdr.octets(start), axdr.octets(end), axdr.array())
    return Selection(1, window)


def _decoded(data: bytes) -> Value:
    return axdr.decode_whole(data, items_max=LONG_ITEMS_MAX, bytes_max=LONG_BYTES_MAX)


def _checked(reply: Response, target: Target) -> bytes:
    """The data of a normal response. Raises AccessRefused, DecodeError."""
    if not isinstance(reply, NormalResponse):
        raise malformed("the reply is of another kind than the request")
    if reply.result:
        raise AccessRefused(reply.result, str(target))
    return reply.data
