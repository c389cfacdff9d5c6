"""The HDLC data link of a session on a serial line, sans-IO (IEC 62056-46, clause 6).

    SNRM 93 ->  <- UA 73      opens, with the sizes that each side takes
    I       ->  <- I          an APDU behind an LLC header, in segments where it is long
    RR      ->  <- I          asks for the next segment
    DISC 53 ->  <- UA 73      closes

Window size is one: each frame is answered before the next. The control byte of an I frame is
N(R) in bits 7-5, poll/final in bit 4, N(S) in bits 3-1; of RR it is N(R), bit 4, and 0001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.dlms.errors import SequenceError
from firmware_profiles.codecs.hdlc import (
    LLC_COMMAND,
    LLC_RESPONSE,
    Frame,
    parse_frames,
    without_llc,
)
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.codecs.dlms.client import Exchange

SNRM, DISC, UA, DM = 0x93, 0x53, 0x73, 0x1F
_POLL = 0x10
_RR = 0x01
_I_MASK, _RR_MASK = 0x01, 0x0F
SIZE_DEFAULT = 128
"""Bytes of information that each side takes when nothing was agreed."""
SIZE_MAX = 2030
_SIZE_MIN = 32
_PARAMETERS = b"\x81\x80"
_RECEIVE = 0x06
"""Parameter: the information size that the sender takes."""
MESSAGE_MAX = 256 * 1024


def address(upper: int, lower: int | None = None) -> bytes:
    """An HDLC address: 1 byte, 2 with a lower part, 4 when a part is above 127.

    Args:
        upper: client SAP (16 public, 1 management), or server's logical device.
        lower: server's physical device, None for none.
    """
    if lower is None:
        return bytes((upper << 1 | 1,))
    if max(upper, lower) <= 0x7F:
        return bytes((upper << 1, lower << 1 | 1))
    parts = (upper >> 7, upper & 0x7F, lower >> 7, lower & 0x7F)
    octets = [part << 1 for part in parts]
    octets[-1] |= 1
    return bytes(octets)


def _parameters(size: int) -> bytes:
    """Group of the sizes that we send and take."""
    value = size.to_bytes(2, "big")
    body = b"\x05\x02" + value + b"\x06\x02" + value
    body += b"\x07\x04\0\0\0\x01" + b"\x08\x04\0\0\0\x01"
    return _PARAMETERS + bytes((len(body),)) + body


def _agreed(information: bytes, ours: int) -> int:
    """The size of what we may send: what the peer takes, and not more than we want."""
    if information[:2] != _PARAMETERS:
        return min(ours, SIZE_DEFAULT)
    offset, takes = 3, SIZE_DEFAULT
    while offset + 2 <= len(information):
        tag, length = information[offset], information[offset + 1]
        if tag == _RECEIVE:
            takes = int.from_bytes(information[offset + 2 : offset + 2 + length], "big")
        offset += 2 + length
    return max(_SIZE_MIN, min(ours, takes))


def _information_control(receive: int, send: int) -> int:
    return receive << 5 | _POLL | send << 1


def _is_information(control: int) -> bool:
    return not control & _I_MASK


def _is_ready(control: int) -> bool:
    return control & _RR_MASK == _RR


def _pieces(message: bytes, size: int) -> list[bytes]:
    return [message[i : i + size] for i in range(0, len(message), size)]


class ClientLink:
    """The client's end. Its exchanges yield frames and are sent frames.

    Args:
        client: our address, see `address`.
        server: the meter's address.
        size: information bytes a frame that we send and take.
    """

    def __init__(self, client: bytes, server: bytes, *, size: int = SIZE_MAX) -> None:
        self._client, self._server = client, server
        self._size = self._sendable = size
        self._send = self._receive = 0
        self.connected = False

    def connect(self) -> Exchange[None]:
        """Open the link. Raises DecodeError for another answer than UA."""
        reply = _one((yield self._frame(SNRM, _parameters(self._size))), self._server)
        if reply.control != UA:
            raise malformed(f"{reply.control:02X} is no UA")
        self._sendable = _agreed(reply.information, self._size)
        self._send = self._receive = 0
        self.connected = True

    def disconnect(self) -> Exchange[None]:
        """Close the link; a meter that was closed already answers DM, which is as good."""
        reply = _one((yield self._frame(DISC)), self._server)
        self.connected = False
        if reply.control not in {UA, DM}:
            raise malformed(f"{reply.control:02X} is no UA")

    def transfer(self, apdu: bytes) -> Exchange[bytes]:
        """Send an APDU and take the reply. Raises DecodeError, SequenceError before `connect`."""
        if not self.connected:
            raise SequenceError("connect the link first")
        pieces = _pieces(LLC_COMMAND + apdu, self._sendable)
        for piece in pieces[:-1]:
            ready = yield from self._information(piece, segmented=True)
            if not _is_ready(ready.control):
                raise malformed("no RR after a segment")
        reply = yield from self._information(pieces[-1], segmented=False)
        parts: list[bytes] = []
        while True:
            parts.append(self._take(reply))
            if not reply.segmented:
                return without_llc(b"".join(parts))
            if sum(map(len, parts)) > MESSAGE_MAX:
                raise DecodeError(DecodeErrorKind.BUDGET, f"a message above {MESSAGE_MAX} bytes")
            ready_control = self._receive << 5 | _POLL | _RR
            reply = _one((yield self._frame(ready_control)), self._server)

    def _information(self, piece: bytes, *, segmented: bool) -> Exchange[Frame]:
        control = _information_control(self._receive, self._send)
        self._send = self._send + 1 & 7
        return _one((yield self._frame(control, piece, segmented=segmented)), self._server)

    def _take(self, reply: Frame) -> bytes:
        if not _is_information(reply.control):
            raise malformed(f"{reply.control:02X} is no I frame")
        if reply.control >> 1 & 7 != self._receive:
            raise malformed("an I frame out of order")
        self._receive = self._receive + 1 & 7
        return reply.information

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        return Frame(self._server, self._client, control, information, segmented).to_bytes()


def _one(data: bytes, source: bytes) -> Frame:
    frames = parse_frames(data)
    if len(frames) != 1 or frames[0].source != source:
        raise malformed("one frame from the meter is due")
    return frames[0]


class ServerLink:
    """The meter's end: `receive` takes a frame and returns the answering frame.

    A frame that was answered already is answered again with the same bytes, because the answer
    may have been lost.

    Args:
        own: our address.
        answer: the session: takes an APDU, returns the reply.
        closed: is called when the client disconnects or begins anew.
        size: information bytes a frame that we send and take.
    """

    def __init__(
        self,
        own: bytes,
        answer: Callable[[bytes], bytes],
        closed: Callable[[], None],
        *,
        size: int = SIZE_MAX,
    ) -> None:
        self._own = own
        self._answer, self._closed = answer, closed
        self._size = self._sendable = size
        self._client = b""
        self._reset()

    def _reset(self) -> None:
        self._send = self._receive = 0
        self._parts: list[bytes] = []
        self._pieces: list[bytes] = []
        self._last = b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the line; returns what goes out, empty for nothing.

        Frames that are damaged or for others are passed over in silence, as the standard says.
        """
        try:
            frames = parse_frames(data)
        except DecodeError:
            return b""
        return b"".join(self._take(frame) for frame in frames if frame.destination == self._own)

    def _take(self, frame: Frame) -> bytes:
        if frame.control in {SNRM, DISC}:
            return self._supervise(frame)
        if frame.source != self._client:
            return Frame(frame.source, self._own, DM).to_bytes()
        if _is_ready(frame.control):
            return self._continue(frame.control >> 5)
        if _is_information(frame.control):
            return self._information(frame)
        return b""

    def _supervise(self, frame: Frame) -> bytes:
        self._closed()
        self._reset()
        if frame.control == DISC:
            known = frame.source == self._client
            self._client = b""
            return Frame(frame.source, self._own, UA if known else DM).to_bytes()
        self._client = frame.source
        self._sendable = _agreed(frame.information, self._size)
        return Frame(self._client, self._own, UA, _parameters(self._size)).to_bytes()

    def _continue(self, expected: int) -> bytes:
        """RR: the next segment, or the last one again when it did not arrive."""
        if expected != self._send or not self._pieces:
            return self._last
        return self._next_piece()

    def _information(self, frame: Frame) -> bytes:
        number = frame.control >> 1 & 7
        if number == self._receive - 1 & 7 and self._last:
            return self._last
        if number != self._receive:
            return self._ready()
        self._receive = self._receive + 1 & 7
        self._parts.append(frame.information)
        if sum(map(len, self._parts)) > MESSAGE_MAX:
            self._parts = []
            return self._ready()
        if frame.segmented:
            return self._ready()
        apdu = without_llc(b"".join(self._parts))
        self._parts = []
        self._pieces = _pieces(LLC_RESPONSE + self._answer(apdu), self._sendable)
        return self._next_piece()

    def _next_piece(self) -> bytes:
        piece = self._pieces.pop(0)
        control = _information_control(self._receive, self._send)
        self._send = self._send + 1 & 7
        frame = Frame(self._client, self._own, control, piece, bool(self._pieces))
        self._last = frame.to_bytes()
        return self._last

    def _ready(self) -> bytes:
        self._last = Frame(self._client, self._own, self._receive << 5 | _POLL | _RR).to_bytes()
        return self._last
