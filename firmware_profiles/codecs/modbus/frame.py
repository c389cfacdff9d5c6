"""Modbus RTU frames of register reads.

    request   unit 1, function 1 (3 or 4), first register 2, count 2, CRC 2
    answer    unit 1, function 1, byte count 1, registers, CRC 2
    refusal   unit 1, function + 80H 1, code 1, CRC 2

An answer does not say which registers it holds. So a telegram is a row of exchanges, each a request
and its answer; an answer alone is decoded too, with its place unknown. A driver that reads over TCP
writes the same form. The CRC is CRC-16/MODBUS, low byte first.

Source: Modbus application protocol 1.1b3; Modbus over serial line 1.02.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.crc import crc16_modbus
from firmware_profiles.codecs.cursor import Cursor, bad_checksum, malformed, unsupported
from ohmesh.model.errors import DecodeError, DecodeErrorKind

READ_HOLDING, READ_INPUT = 3, 4
EXCHANGES_MAX = 256
_REFUSED = 0x80
_REQUEST_BYTES = 8
_SHORTEST_ANSWER = 5


@dataclass(frozen=True, slots=True)
class Block:
    """Registers of one read.

    Attributes:
        unit: the meter's unit id.
        function: READ_HOLDING or READ_INPUT.
        address: first register, counted from 0; None for an answer without its request.
        data: two bytes a register, high byte first; empty when refused.
        refusal: exception code, None for a good answer.
    """

    unit: int
    function: int
    address: int | None
    data: bytes
    refusal: int | None = None


def decode(payload: bytes, *, verify: bool = True) -> tuple[Block, ...]:
    """Decode an answer, or exchanges in a row.

    Args:
        payload: RTU frames.
        verify: False accepts wrong CRCs.

    Raises:
        DecodeError: whatever the bytes.
    """
    cursor = Cursor(payload)
    if _is_answer_alone(payload):
        return (_answer(cursor, None, verify=verify),)
    blocks: list[Block] = []
    while cursor.remaining or not blocks:
        if len(blocks) >= EXCHANGES_MAX:
            raise DecodeError(
                DecodeErrorKind.BUDGET, f"over {EXCHANGES_MAX} exchanges", offset=cursor.offset
            )
        blocks.append(_exchange(cursor, verify=verify))
    return tuple(blocks)


def encode(blocks: tuple[Block, ...]) -> bytes:
    """The bytes of exchanges, or of an answer whose address is None; the inverse of `decode`."""
    return b"".join(map(_encode_block, blocks))


def _is_answer_alone(payload: bytes) -> bool:
    """Whether the length fits an answer, and the first eight bytes are no request with its CRC."""
    if len(payload) < _SHORTEST_ANSWER:
        return False
    refused = payload[1] & _REFUSED
    if len(payload) != (_SHORTEST_ANSWER if refused else _SHORTEST_ANSWER + payload[2]):
        return False
    head = payload[:_REQUEST_BYTES]
    crc = int.from_bytes(head[-2:], "little")
    return len(payload) <= _REQUEST_BYTES or crc16_modbus(head[:-2]) != crc


def _exchange(cursor: Cursor, *, verify: bool) -> Block:
    start = cursor.offset
    unit, function = cursor.u8(), _function(cursor)
    address, count = cursor.unsigned(2), cursor.unsigned(2)
    _check(cursor, start, verify=verify)
    answer_at = cursor.offset
    block = _answer(cursor, address, verify=verify)
    fits = len(block.data) == 2 * count or block.refusal is not None
    if (block.unit, block.function) != (unit, function) or not fits:
        raise malformed("an answer to another request", answer_at)
    return block


def _function(cursor: Cursor) -> int:
    function = cursor.u8()
    if function & ~_REFUSED not in (READ_HOLDING, READ_INPUT):
        raise unsupported(f"the function {function:02X}", cursor.offset - 1)
    return function


def _answer(cursor: Cursor, address: int | None, *, verify: bool) -> Block:
    start = cursor.offset
    unit, function = cursor.u8(), _function(cursor)
    count = cursor.u8()
    if function & _REFUSED:
        _check(cursor, start, verify=verify)
        return Block(unit, function & ~_REFUSED, address, b"", count)
    data = cursor.take(count)
    _check(cursor, start, verify=verify)
    if count % 2 or not count:
        raise malformed(f"registers of {count} bytes", start + 2)
    return Block(unit, function, address, data)


def _check(cursor: Cursor, start: int, *, verify: bool) -> None:
    at = cursor.offset
    given = cursor.unsigned_le(2)
    if verify and given != crc16_modbus(cursor.data[start:at]):
        raise bad_checksum("the CRC does not fit", at)


def _encode_block(block: Block) -> bytes:
    request = b""
    if block.address is not None:
        head = bytes((block.unit, block.function))
        count = len(block.data) // 2
        request = _sealed(head + block.address.to_bytes(2, "big") + count.to_bytes(2, "big"))
    if block.refusal is not None:
        return request + _sealed(bytes((block.unit, block.function | _REFUSED, block.refusal)))
    return request + _sealed(bytes((block.unit, block.function, len(block.data))) + block.data)


def _sealed(body: bytes) -> bytes:
    return body + crc16_modbus(body).to_bytes(2, "little")
