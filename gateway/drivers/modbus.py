"""Modbus meters, many on one line, by RTU or TCP.

A telegram is the row of exchanges that read one meter, each the request and its answer as RTU
frames, as the profile `modbus` wants it; what comes by TCP is written in the same form. Nothing of
it is decoded here.

    RTU    unit 1, function 1, first register 2, count 2, CRC 2
           unit 1, function 1, bytes 1, registers, CRC 2 -- or function + 80H, code 1, CRC 2
    TCP    transaction 2, protocol 2 (0), length 2, then the same without CRC

Frames and messages are pymodbus's; the line is ours (ADR 0021).
Source: Modbus application protocol 1.1b3; Modbus messaging on TCP/IP 1.0b; serial line 1.02.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from gateway.drivers.registers import COUNT_MAX
from gateway.drivers.source import Answer
from ohmesh.model.errors import DriverTransient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.drivers.line import Line
    from gateway.drivers.registers import ReadPlan

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # we say what was wrong ourselves
_DECODER: Final = DecodePDU(is_server=False)
_RTU: Final = FramerRTU(_DECODER)
_TCP: Final = FramerSocket(_DECODER)
_REQUESTS: Final = {3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}
_ABSENT_CODES: Final = {6, 10, 11}
"""Busy; the path to the meter is not there; the meter does not answer a TCP bridge."""
_SUNSPEC_STARTS: Final = (40000, 50000, 0)
_SUNSPEC_MARK: Final = [0x5375, 0x6E53]  # "SunS"
_SUNSPEC_END: Final = 0xFFFF
_SUNSPEC_MODELS_MAX: Final = 64
_PAUSE_CHARACTERS: Final = 4
"""Silence between two RTU frames, 3.5 characters at least."""
_PAUSE_S: Final = 0.00175
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
        self._framer = _TCP if framing == "tcp" else _RTU
        self._transaction = 0
        self._models: dict[int, tuple[int, int]] = {}

    async def ask(self, line: Line, index: int) -> Answer:
        """Read a meter. Raises TimeoutError, DriverTransient."""
        meter = self._meters[index]
        blocks = await self._blocks(line, meter)
        pairs = [await self._read(line, meter, *block) for block in blocks]
        return Answer(meter.address, meter.profile, (b"".join(map(_octets, pairs)),))

    async def whole(self, line: Line, meter: ModbusMeter) -> bytes:
        """The exchanges of a meter that has all registers of its plan, empty when it refuses any.

        Raises:
            TimeoutError, DriverTransient.
        """
        exchanges = b""
        for first, count in await self._blocks(line, meter):
            pair = await self._read(line, meter, first, count)
            if pair.answer.isError():
                return b""
            exchanges += _octets(pair)
        return exchanges

    async def _blocks(self, line: Line, meter: ModbusMeter) -> Sequence[tuple[int, int]]:
        return await self._sunspec_blocks(line, meter) if meter.plan.sunspec else meter.plan.blocks

    async def _read(self, line: Line, meter: ModbusMeter, first: int, count: int) -> _Exchange:
        """One exchange. Raises TimeoutError, DriverTransient."""
        self._transaction = self._transaction % 0xFFFF + 1
        request = _REQUESTS[meter.plan.function](
            address=first, count=count, dev_id=meter.unit, transaction_id=self._transaction
        )
        if self._framer is _RTU:
            await asyncio.sleep(
                max(_PAUSE_S, _PAUSE_CHARACTERS * 11 / line.baud if line.baud else 0)
            )
        heard = await line.ask(
            self._framer.buildFrame(request),
            lambda octets: answer_length(self._framer, request, octets),
            timeout_s=self._timeout_s,
        )
        found = find_answer(self._framer, request, heard)
        assert found is not None
        answer = found[1]
        if isinstance(answer, ExceptionResponse) and answer.exception_code in _ABSENT_CODES:
            raise DriverTransient(f"unit {meter.unit}: exception {answer.exception_code}")
        return _Exchange(request, answer)

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
                model, length = (*await self._registers(line, meter, at), 0, 0)[:2]
                if model in meter.plan.sunspec:
                    return at, length + 2
                if model in {0, _SUNSPEC_END}:
                    break
                at += length + 2
        raise DriverTransient(f"unit {meter.unit} has no SunSpec meter model")

    async def _registers(self, line: Line, meter: ModbusMeter, first: int) -> list[int]:
        """Two registers, none when the meter refuses."""
        return list((await self._read(line, meter, first, 2)).answer.registers)


@dataclass(frozen=True, slots=True)
class _Exchange:
    request: ModbusPDU
    answer: ModbusPDU


def _octets(pair: _Exchange) -> bytes:
    """An exchange as the profile wants it: two RTU frames."""
    return _RTU.buildFrame(pair.request) + _RTU.buildFrame(pair.answer)


def answer_length(framer: FramerBase, request: ModbusPDU, heard: bytes) -> int | None:
    """Length of what was heard up to the end of the answer, None while it is not whole."""
    found = find_answer(framer, request, heard)
    return None if found is None else found[0]


def find_answer(
    framer: FramerBase, request: ModbusPDU, heard: bytes
) -> tuple[int, ModbusPDU] | None:
    """The end of the answer to a request in what was heard, and the answer.

    On a serial line anything may stand before it: every byte is tried as its first, because the
    library gives up all that it has at a wrong checksum. By TCP late answers may.

    Raises:
        DriverTransient: an answer to another question under the same number.
    """
    serial = isinstance(framer, FramerRTU)
    starts = range(len(heard)) if serial else (0,)
    for start in starts:
        try:
            used, answer = framer.handleFrame(heard[start:], request.dev_id, request.transaction_id)
        except ModbusException:
            continue
        if answer is None:
            continue
        if _answers(request, answer):
            return start + used, answer
        if not serial:
            raise DriverTransient("an answer to another request")
    return None


def _answers(request: ModbusPDU, answer: ModbusPDU) -> bool:
    if answer.function_code & 0x7F != request.function_code:
        return False
    return answer.isError() or len(answer.registers) == request.count
