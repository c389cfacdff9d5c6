"""Wired M-Bus meters behind a level converter: this gateway is the master.

    SND_NKE   10 40 A CS 16                          meter: E5
    select    68 0B 0B 68 53 FD 52 id maker version medium CS 16     meter: E5; then A is FD
    REQ_UD2   10 5B/7B A CS 16                       meter: 68 L L 68 08 A CI .. CS 16

The answer goes up as it came. A meter whose data need several telegrams is asked `frames` times,
with the frame count bit turned after each answer.

Source: EN 13757-2, clauses 5 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.drivers.source import Answer
from ohmesh.model.errors import DriverTransient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.drivers.line import Line

_ACK = b"\xe5"
_START, _STOP, _SHORT = 0x68, 0x16, 0x10
_SND_NKE, _REQ_UD2, _SND_UD, _FCB = 0x40, 0x5B, 0x53, 0x20
_NETWORK_LAYER = 0xFD
_SELECT = 0x52
_ANY = b"\xff\xff\xff\xff"
_SECONDARY_DIGITS = 8
_RESET_TRIES = 2


@dataclass(frozen=True, slots=True)
class MbusMeter:
    """One meter on a line.

    Attributes:
        number: primary address, or the eight digits of the secondary one.
        address: its address at this gateway.
    """

    number: str
    address: str


class MbusMaster:
    """The meters of one line."""

    def __init__(
        self, meters: Sequence[MbusMeter], *, timeout_s: float, profile: str, frames: int = 1
    ) -> None:
        """Args: timeout_s: for one answer. profile: the decoder's. frames: telegrams a reading."""
        self._meters = meters
        self._timeout_s = timeout_s
        self._profile = profile
        self._frames = frames

    async def ask(self, line: Line, index: int) -> Answer:
        """Read a meter. Raises TimeoutError, DriverTransient."""
        meter = self._meters[index]
        target = await self._wake(line, meter)
        answers: list[bytes] = []
        control = _REQ_UD2 | _FCB
        for _ in range(self._frames):
            answers.append(await self._frame(line, short_frame(control, target)))
            control ^= _FCB
        return Answer(meter.address, self._profile, tuple(answers))

    async def _wake(self, line: Line, meter: MbusMeter) -> int:
        """Reset the meter's link, select it when it has a secondary address; whom to ask then."""
        if len(meter.number) == _SECONDARY_DIGITS:
            await self._acknowledged(line, short_frame(_SND_NKE, _NETWORK_LAYER), needed=False)
            await self._acknowledged(line, select_frame(meter.number))
            return _NETWORK_LAYER
        await self._acknowledged(line, short_frame(_SND_NKE, int(meter.number)))
        return int(meter.number)

    async def _acknowledged(self, line: Line, request: bytes, *, needed: bool = True) -> None:
        for last in (False,) * (_RESET_TRIES - 1) + (True,):
            try:
                await line.ask(request, ack_length, timeout_s=self._timeout_s, echo=True)
            except TimeoutError:
                if last and needed:
                    raise
            else:
                return
            if not needed:
                return

    async def _frame(self, line: Line, request: bytes) -> bytes:
        answer = await line.ask(request, frame_length, timeout_s=self._timeout_s, echo=True)
        frame = answer[answer.index(_START) :]
        if sum(frame[4:-2]) & 0xFF != frame[-2]:
            raise DriverTransient("a checksum that does not fit")
        return frame


def short_frame(control: int, address: int) -> bytes:
    """10 C A CS 16."""
    return bytes((_SHORT, control, address, control + address & 0xFF, _STOP))


def select_frame(number: str) -> bytes:
    """The selection of a meter by the eight digits of its id, whatever maker and medium."""
    body = bytes((_SND_UD, _NETWORK_LAYER, _SELECT)) + bytes.fromhex(number)[::-1] + _ANY
    head = bytes((_START, len(body), len(body), _START))
    return head + body + bytes((sum(body) & 0xFF, _STOP))


def ack_length(heard: bytes) -> int | None:
    """Up to the acknowledgement, None while it is not there."""
    at = heard.find(_ACK)
    return None if at < 0 else at + 1


def frame_length(heard: bytes) -> int | None:
    """Up to the end of the first long frame, None while it is not whole."""
    start = heard.find(_START)
    while start >= 0:
        head = heard[start : start + 4]
        if len(head) < 4:
            return None
        if head[1] == head[2] and head[3] == _START:
            end = start + head[1] + 6
            if len(heard) < end:
                return None
            if heard[end - 1] == _STOP:
                return end
        start = heard.find(_START, start + 1)
    return None
