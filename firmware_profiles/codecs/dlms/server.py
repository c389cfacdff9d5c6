"""A DLMS server session, sans-IO: the logical device of a simulated meter.

Theory of operation. One client at a time. `receive` takes an APDU and the time and returns the
reply. States: closed; proving, when a high-level authentication has passed AARQ and waits for the
client's proof; open. In the state closed only an AARQ is understood, while proving only the proof.
Without authentication a client reads public objects; with a password it reads all; with the proof
of the key and under ciphering it also writes and acts. The client's invocation counter is kept
from one association to the next, so that a recorded session is of no use. A long reply leaves in
blocks, a long request comes in them; one transfer is under way at most, and any other request
ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hmac import compare_digest
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
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
    Service,
    Tag,
)
from firmware_profiles.codecs.dlms.apdu_wire import parse_request, response_bytes
from firmware_profiles.codecs.dlms.channel import SecureChannel
from firmware_profiles.codecs.dlms.errors import AccessRefused, AccessResult, Diagnostic
from firmware_profiles.codecs.dlms.objects.access import ASSOCIATION, association
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from firmware_profiles.api import Keys
    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.apdu import Request, Response, Selection, Target
    from firmware_profiles.codecs.dlms.objects.base import CosemObject
    from ohmesh.model.obis import Obis

_REPLY_TO_HLS = 1
_BLOCK_OVERHEAD = 48
"""Bytes of a reply that are not block data, at most."""
_LONG_REQUEST_MAX = 256 * 1024
_PDU_MIN = 128
_PASSWORD_READS = frozenset({Service.GET})
_UNKNOWN = ExceptionResponse(2, 2)
_NOT_ALLOWED = ExceptionResponse(1, 1)
_DECIPHERING_ERROR = ExceptionResponse(1, 5)


class State(Enum):
    """Where the session stands."""

    CLOSED = "closed"
    PROVING = "proving"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the server demands.

    Attributes:
        password: of the low-level security, empty to refuse it.
        keys: global unicast and authentication key, None for a server without security.
        title: our system title, 8 bytes.
        control: security control byte of our APDUs in a ciphered context.
        counter: first invocation counter.
        challenge: gives 8 to 64 fresh random bytes for each association; None refuses the
            high-level authentication.
        pdu_max: largest APDU that we take and send.
    """

    password: bytes = b""
    keys: Keys | None = None
    title: bytes = b""
    control: int = 0x30
    counter: int = 1
    challenge: Callable[[], bytes] | None = None
    pdu_max: int = 1024


@dataclass
class _Transfer:
    """A long value on its way: what is left to send, or what has come so far."""

    service: Service
    number: int = 0
    data: bytes = b""
    target: Target | None = None
    selection: Selection | None = None
    parts: list[bytes] = field(default_factory=list)


class Server:
    """One logical device and its one session."""

    def __init__(self, objects: Iterable[CosemObject], settings: ServerSettings) -> None:
        self._settings = settings
        self._objects: dict[tuple[int, Obis], CosemObject] = {}
        for cosem_object in objects:
            self.add(cosem_object)
        self._challenge = self._client_challenge = b""
        self._counter = settings.counter
        self._client_floor: int | None = None
        self._channel = SecureChannel(None, settings.title)
        self.disconnected()

    @property
    def client_counter(self) -> int:
        """The highest invocation counter of the client so far, 0 before the first."""
        live = self._channel.floor if self._channel.floor is not None else 0
        return max(live, self._client_floor or 0)

    def add(self, cosem_object: CosemObject) -> None:
        """Put an object into the device, in the place of one with its class and name."""
        self._objects[cosem_object.class_id, cosem_object.obis] = cosem_object

    def disconnected(self) -> None:
        """The line is gone: the session is closed and every transfer dropped."""
        self._counter = max(self._counter, self._channel.counter)
        if self._channel.floor is not None:
            self._client_floor = self._channel.floor
        self.state = State.CLOSED
        self._mechanism = Mechanism.NONE
        self._channel = SecureChannel(None, self._settings.title)
        self._transfer: _Transfer | None = None
        self._pdu_max = self._settings.pdu_max

    def receive(self, apdu: bytes, now: datetime) -> bytes:
        """Take an APDU; returns the reply.

        Args:
            apdu: whatever came in.
            now: UTC.

        Returns:
            A reply; for bytes that are no request an exception response, never an error.
        """
        tag = apdu[0] if apdu else 0
        try:
            if tag == Tag.AARQ:
                return self._associate(apdu)
            if tag == Tag.RLRQ:
                return self._release(apdu)
            if self.state is State.CLOSED:
                return _NOT_ALLOWED.to_bytes()
            request = parse_request(self._channel.unprotect(apdu))
            return self._channel.protect(response_bytes(self._answer(request, now)))
        except DecodeError as error:
            sealed = error.kind in {DecodeErrorKind.KEY, DecodeErrorKind.REPLAY}
            return (_DECIPHERING_ERROR if sealed else _UNKNOWN).to_bytes()

    def _release(self, apdu: bytes) -> bytes:
        """Close the session.

        What the client sealed into its release counts as seen, so that it cannot be played back.
        A release without anything sealed closes as well, as losing the line would.
        """
        user = acse.parse_release(apdu)
        if user:
            self._channel.unprotect(user)
        self.disconnected()
        return acse.release_response()

    def _associate(self, apdu: bytes) -> bytes:
        self.disconnected()
        request = acse.parse_aarq(apdu)
        diagnostic = self._judge(request)
        if diagnostic not in {Diagnostic.NONE, Diagnostic.AUTHENTICATION_REQUIRED}:
            return self._refuse(request, diagnostic)
        try:
            return self._open(request, diagnostic)
        except DecodeError:
            self.disconnected()
            return self._refuse(request, Diagnostic.NO_REASON)

    def _refuse(self, request: acse.AssociationRequest, diagnostic: Diagnostic) -> bytes:
        return acse.AssociationResponse(request.context, False, diagnostic).to_bytes()  # noqa: FBT003 - "accepted" by position, as in the standard

    def _judge(self, request: acse.AssociationRequest) -> Diagnostic:
        settings = self._settings
        if request.context is Context.CIPHERED and settings.keys is None:
            return Diagnostic.CONTEXT_NAME_NOT_SUPPORTED
        if request.mechanism is Mechanism.NONE:
            return Diagnostic.NONE
        if request.mechanism is Mechanism.LOW:
            right = bool(settings.password) and compare_digest(request.value, settings.password)
            return Diagnostic.NONE if right else Diagnostic.AUTHENTICATION_FAILURE
        if settings.keys is None or settings.challenge is None:
            return Diagnostic.MECHANISM_NOT_RECOGNISED
        self._challenge = settings.challenge()
        if not request.value or request.value == self._challenge:
            return Diagnostic.AUTHENTICATION_FAILURE
        return Diagnostic.AUTHENTICATION_REQUIRED

    def _open(self, request: acse.AssociationRequest, diagnostic: Diagnostic) -> bytes:
        """Answer an AARQ that is in order. Raises DecodeError for a bad Initiate."""
        settings = self._settings
        high = diagnostic is Diagnostic.AUTHENTICATION_REQUIRED
        ciphered = request.context is Context.CIPHERED
        self._channel = SecureChannel(
            settings.keys,
            settings.title,
            control=settings.control if ciphered else 0,
            counter=self._counter,
            floor=self._client_floor,
        )
        self._channel.peer_title = request.title
        initiate = acse.parse_initiate(self._channel.unprotect(request.user))
        self._pdu_max = max(_PDU_MIN, min(initiate.pdu_max or 0xFFFF, settings.pdu_max))
        ours = Initiate(initiate.conformance & acse.OURS, settings.pdu_max)
        user = self._channel.protect(ours.response_bytes())
        self._channel.dedicated = initiate.dedicated_key
        self._mechanism = request.mechanism
        self._client_challenge = request.value if high else b""
        self.state = State.PROVING if high else State.OPEN
        self.add(self._association(request.context))
        return acse.AssociationResponse(
            request.context,
            True,  # noqa: FBT003 - "accepted" by position, as in the standard
            diagnostic,
            request.mechanism,
            settings.title if ciphered or high else b"",
            self._challenge if high else b"",
            user,
        ).to_bytes()

    def _association(self, context: Context) -> CosemObject:
        return association(
            self._visible, context=context, mechanism=self._mechanism, pdu_max=self._pdu_max
        )

    def _visible(self) -> list[CosemObject]:
        every = self._mechanism is not Mechanism.NONE
        return [o for o in self._objects.values() if every or o.public]

    def _answer(self, request: Request, now: datetime) -> Response:
        if self.state is State.PROVING:
            return self._prove(request)
        if isinstance(request, NextRequest):
            return self._next_block(request)
        if isinstance(request, BlockRequest):
            return self._take_block(request, now)
        self._transfer = None
        if isinstance(request, ListRequest):
            return self._answer_list(request, now)
        result, data = self._do(request, now)
        return self._reply(request, result, data)

    def _prove(self, request: Request) -> Response:
        """Pass 3 of the high-level authentication, and our pass 4."""
        answer = _parameter(request)
        if not isinstance(request, NormalRequest) or not _is_proof(request):
            return _NOT_ALLOWED
        if not isinstance(answer, bytes) or not self._channel.answer_fits(self._challenge, answer):
            self.disconnected()
            return NormalResponse(request.service, request.invoke, AccessResult.READ_WRITE_DENIED)
        self.state = State.OPEN
        ours = axdr.octets(self._channel.challenge_answer(self._client_challenge))
        return NormalResponse(request.service, request.invoke, AccessResult.SUCCESS, ours)

    def _reply(self, request: Request, result: int, data: bytes) -> Response:
        """A normal response, or the first block when the data is too long for one."""
        if result or len(data) + _BLOCK_OVERHEAD <= self._pdu_max or request.service is Service.SET:
            return NormalResponse(request.service, request.invoke, result, data)
        self._transfer = _Transfer(request.service, data=data)
        return self._block(request)

    def _block(self, request: Request) -> BlockResponse:
        transfer = self._transfer
        assert transfer is not None
        size = self._pdu_max - _BLOCK_OVERHEAD
        piece, transfer.data = transfer.data[:size], transfer.data[size:]
        transfer.number += 1
        last = not transfer.data
        if last:
            self._transfer = None
        return BlockResponse(request.service, request.invoke, Block(transfer.number, last, piece))

    def _next_block(self, request: NextRequest) -> Response:
        transfer = self._transfer
        if transfer is None or transfer.service is not request.service or transfer.target:
            return self._broken(request, AccessResult.NO_LONG_GET_IN_PROGRESS)
        if request.number != transfer.number:
            return self._broken(request, AccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._block(request)

    def _broken(self, request: NextRequest, result: AccessResult) -> Response:
        self._transfer = None
        if request.service is Service.ACTION:
            return NormalResponse(request.service, request.invoke, result)
        return BlockResponse(Service.GET, request.invoke, Block(request.number, True, b""), result)  # noqa: FBT003 - "last" by position, as on the wire

    def _take_block(self, request: BlockRequest, now: datetime) -> Response:
        """Collect a long SET or ACTION; do it with the last block."""
        if request.target is not None:
            self._transfer = _Transfer(
                request.service, target=request.target, selection=request.selection
            )
        transfer, block = self._transfer, request.block
        if (
            transfer is None
            or transfer.target is None
            or transfer.service is not request.service
            or block.number != transfer.number + 1
            or sum(map(len, transfer.parts)) + len(block.data) > _LONG_REQUEST_MAX
        ):
            self._transfer = None
            result = AccessResult.LONG_SET_ABORTED
            return NormalResponse(request.service, request.invoke, result)
        transfer.number = block.number
        transfer.parts.append(block.data)
        if not block.last:
            return AcceptedResponse(request.service, request.invoke, block.number)
        return self._finish(request, transfer, transfer.target, now)

    def _finish(
        self, request: BlockRequest, transfer: _Transfer, target: Target, now: datetime
    ) -> Response:
        self._transfer = None
        data = b"".join(transfer.parts)
        whole = NormalRequest(request.service, request.invoke, target, transfer.selection, data)
        result, returned = self._do(whole, now)
        if request.service is Service.SET:
            return AcceptedResponse(request.service, request.invoke, request.block.number, result)
        return self._reply(request, result, returned)

    def _answer_list(self, request: ListRequest, now: datetime) -> Response:
        values = request.data or (b"",) * len(request.targets)
        results = tuple(
            self._do(NormalRequest(request.service, request.invoke, target, chosen, data), now)
            for (target, chosen), data in zip(request.targets, values, strict=True)
        )
        response = ListResponse(request.service, request.invoke, results)
        if len(response_bytes(response)) + _BLOCK_OVERHEAD > self._pdu_max:
            refused = tuple((int(AccessResult.OTHER_REASON), b"") for _ in results)
            return ListResponse(request.service, request.invoke, refused)
        return response

    def _do(self, request: NormalRequest, now: datetime) -> tuple[int, bytes]:
        """Do one thing to one object: its result, and what comes back."""
        index = request.target.index
        try:
            cosem_object = self._object(request)
            if request.service is Service.GET:
                return 0, cosem_object.get(index, now, request.selection)
            if request.service is Service.SET:
                _checked(request.data)
                cosem_object.set(index, request.data, now)
                return 0, b""
            return 0, cosem_object.act(index, _parameter(request), now)
        except AccessRefused as error:
            return int(error.result), b""
        except DecodeError:
            return int(AccessResult.TYPE_UNMATCHED), b""

    def _object(self, request: NormalRequest) -> CosemObject:
        """The object of a request, when this client may do this to it. Raises AccessRefused."""
        target = request.target
        cosem_object = self._objects.get((target.class_id, target.obis))
        if cosem_object is None:
            raise AccessRefused(AccessResult.OBJECT_UNDEFINED, str(target))
        if not self._allowed(request.service, cosem_object):
            raise AccessRefused(AccessResult.READ_WRITE_DENIED, str(target))
        return cosem_object

    def _allowed(self, service: Service, cosem_object: CosemObject) -> bool:
        if self._mechanism is Mechanism.HIGH_GMAC:
            return service is Service.GET or bool(self._channel.control)
        if self._mechanism is Mechanism.LOW:
            return service in _PASSWORD_READS
        return service is Service.GET and cosem_object.public


def _checked(data: bytes) -> Value:
    return axdr.decode_whole(data, items_max=axdr.BYTES_MAX, bytes_max=_LONG_REQUEST_MAX)


def _parameter(request: Request) -> Value:
    """The decoded parameter of an ACTION. Raises DecodeError."""
    if isinstance(request, NormalRequest) and request.data:
        return _checked(request.data)
    return None


def _is_proof(request: NormalRequest) -> bool:
    target = request.target
    return request.service is Service.ACTION and (target.obis, target.index) == (
        ASSOCIATION,
        _REPLY_TO_HLS,
    )
