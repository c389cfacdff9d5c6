"""Modbus meters, many on one line, by RTU or TCP.

A telegram is the row of exchanges that read one meter, each the request and its answer as RTU
frames, as the profile `modbus` wants it; what comes by TCP is written in the same form. Nothing of
it is decoded here.

    RTU    unit 1, function 1, first register 2, count 2, CRC 2
           unit 1, function 1, bytes 1, registers, CRC 2 -- or function + 80H, code 1, CRC 2
    TCP    transaction 2, protocol 2 (0), length 2, then the same without CRC

Source: Modbus application protocol 1.1b3; Modbus messaging on TCP/IP 1.0b; serial line 1.02.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.drivers.crc import crc16_modbus
from gateway.drivers.registers import COUNT_MAX
from gateway.drivers.source import Answer
from ohmesh.model.errors import DriverTransient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.drivers.line import Line
    from gateway.drivers.registers import ReadPlan

_REFUSED = 0x80
_ABSENT_CODES = {6, 10, 11}
"""Busy; the path to the meter is not there; the meter does not answer a TCP bridge."""
_SUNSPEC_STARTS = (40000, 50000, 0)
_SUNSPEC_MARK = b"SunS"
_SUNSPEC_END = 0xFFFF
_SUNSPEC_MODELS_MAX = 64
_REQUEST_BYTES = 8
_PAUSE_CHARACTERS = 4
"""Silence between two RTU frames, 3.5 characters at least."""
_PAUSE_S = 0.00175
"""The same above 19 200 baud."""


@dataclass(frozen=True, slots=True)
class ModbusMeter:
    """One meter on a line.

    Attributes:
        unit: its unit id.
        address: its address at this gateway.
        profile: that decodes it.
        plan: what is read.
    """

    unit: int
    address: str
    profile: str
    plan: ReadPlan


class ModbusBus:
    """The meters of one line."""

    def __init__(self, meters: Sequence[ModbusMeter], *, timeout_s: float, framing: str) -> None:
        """Args: timeout_s: for one answer. framing: `rtu` or `tcp`."""
        self._meters = meters
        self._timeout_s = timeout_s
        self._tcp = framing == "tcp"
        self._transaction = 0
        self._models: dict[int, tuple[int, int]] = {}

    async def ask(self, line: Line, index: int) -> Answer:
        """Read a meter. Raises TimeoutError, DriverTransient."""
        meter = self._meters[index]
        exchanges = [
            await self.read(line, meter, *block) for block in await self._blocks(line, meter)
        ]
        return Answer(meter.address, meter.profile, (b"".join(exchanges),))

    async def whole(self, line: Line, meter: ModbusMeter) -> bytes:
        """The exchanges of a meter that has all registers of its plan, empty when it refuses any.

        Raises:
            TimeoutError, DriverTransient.
        """
        exchanges = b""
        for first, count in await self._blocks(line, meter):
            exchange = await self.read(line, meter, first, count)
            if exchange[_REQUEST_BYTES + 1] & _REFUSED:
                return b""
            exchanges += exchange
        return exchanges

    async def _blocks(self, line: Line, meter: ModbusMeter) -> Sequence[tuple[int, int]]:
        return await self._sunspec_blocks(line, meter) if meter.plan.sunspec else meter.plan.blocks

    async def read(self, line: Line, meter: ModbusMeter, first: int, count: int) -> bytes:
        """One exchange as RTU frames. Raises TimeoutError, DriverTransient."""
        body = bytes((meter.unit, meter.plan.function)) + first.to_bytes(2, "big")
        body += count.to_bytes(2, "big")
        exchange = self._exchange_tcp if self._tcp else self._exchange_rtu
        answer = await exchange(line, body)
        if answer[1] & _REFUSED and answer[2] in _ABSENT_CODES:
            raise DriverTransient(f"unit {meter.unit}: exception {answer[2]}")
        return with_crc(body) + with_crc(answer)

    async def _exchange_rtu(self, line: Line, body: bytes) -> bytes:
        await asyncio.sleep(max(_PAUSE_S, _PAUSE_CHARACTERS * 11 / line.baud if line.baud else 0))
        answer = await line.ask(
            with_crc(body), lambda heard: rtu_length(body, heard), timeout_s=self._timeout_s
        )
        start = rtu_start(body, answer)
        assert start is not None
        return answer[start:-2]

    async def _exchange_tcp(self, line: Line, body: bytes) -> bytes:
        self._transaction = self._transaction + 1 & 0xFFFF
        mark = self._transaction.to_bytes(2, "big") + b"\0\0"
        head = mark + len(body).to_bytes(2, "big")
        answer = await line.ask(
            head + body, lambda heard: tcp_length(mark, body, heard), timeout_s=self._timeout_s
        )
        return answer[answer.rindex(mark) + 6 :]

    async def _sunspec_blocks(self, line: Line, meter: ModbusMeter) -> list[tuple[int, int]]:
        """The reads of a SunSpec meter's model, which is looked for at its first turn."""
        if meter.unit not in self._models:
            self._models[meter.unit] = await self._find_model(line, meter)
        first, count = self._models[meter.unit]
        return [(first + at, min(COUNT_MAX, count - at)) for at in range(0, count, COUNT_MAX)]

    async def _find_model(self, line: Line, meter: ModbusMeter) -> tuple[int, int]:
        for start in _SUNSPEC_STARTS:
            if await self._registers(line, meter, start) != _SUNSPEC_MARK:
                continue
            at = start + 2
            for _ in range(_SUNSPEC_MODELS_MAX):
                head = await self._registers(line, meter, at)
                model, length = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
                if model in meter.plan.sunspec:
                    return at, length + 2
                if model == _SUNSPEC_END or len(head) < 4:
                    break
                at += length + 2
        raise DriverTransient(f"unit {meter.unit} has no SunSpec meter model")

    async def _registers(self, line: Line, meter: ModbusMeter, first: int) -> bytes:
        """Two registers, empty when the meter refuses."""
        exchange = await self.read(line, meter, first, 2)
        return exchange[11:15] if len(exchange) == 17 else b""


def with_crc(body: bytes) -> bytes:
    """An RTU frame."""
    return body + crc16_modbus(body).to_bytes(2, "little")


def rtu_start(body: bytes, heard: bytes) -> int | None:
    """Where the whole answer to a request begins in what was heard; None while there is none."""
    for start in range(len(heard) - 4):
        length = _answer_length(body, heard[start:])
        if length and start + length + 2 <= len(heard):
            frame = heard[start : start + length + 2]
            if crc16_modbus(frame) == 0:
                return start
    return None


def rtu_length(body: bytes, heard: bytes) -> int | None:
    """Length of what was heard up to the end of the answer."""
    start = rtu_start(body, heard)
    if start is None:
        return None
    return start + _answer_length(body, heard[start:]) + 2


def tcp_length(mark: bytes, body: bytes, heard: bytes) -> int | None:
    """Length of what was heard up to the end of the answer; late answers before it are passed."""
    start = heard.rfind(mark)
    if start < 0 or len(heard) < start + 6:
        return None
    length = int.from_bytes(heard[start + 4 : start + 6], "big")
    end = start + 6 + length
    if len(heard) < end:
        return None
    if _answer_length(body, heard[start + 6 :]) != length:
        raise DriverTransient("an answer to another request")
    return end


def _answer_length(body: bytes, answer: bytes) -> int:
    """Bytes of the answer without CRC, 0 when it is not an answer to the request."""
    if len(answer) < 3 or answer[0] != body[0] or answer[1] & ~_REFUSED != body[1]:
        return 0
    if answer[1] & _REFUSED:
        return 3
    count = int.from_bytes(body[4:6], "big")
    return 3 + 2 * count if answer[2] == 2 * count else 0
