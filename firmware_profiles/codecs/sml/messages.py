"""SML messages: the file around them and the list of values that a meter sends.

file    = message* fill              fill: zero bytes
message = list(6): transaction id, group, abort on error, list(2)(tag, body), crc, end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firmware_profiles.codecs.crc import crc16_x25
from firmware_profiles.codecs.cursor import bad_checksum, malformed
from firmware_profiles.codecs.sml import transport
from firmware_profiles.codecs.sml.tree import Number, Tree, encode, number, parse

OPEN_RESPONSE = 0x0101
CLOSE_RESPONSE = 0x0201
GET_LIST_RESPONSE = 0x0701
_MESSAGE = 0x76
_ABSENT = b""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        transaction: transaction id.
        group: group number.
        abort: what the receiver does on an error.
        tag: which body: OPEN_RESPONSE ...
        body: the body's elements.
        tag_width: bytes of the tag, as the meter wrote it.
    """

    transaction: bytes
    group: int
    abort: int
    tag: int
    body: list[Tree]
    tag_width: int = 2


class Time(NamedTuple):
    """SML_Time: `seconds` since 1970 UTC when `absolute`, else the meter's own second index."""

    absolute: bool
    seconds: int


class Entry(NamedTuple):
    """One value of a list.

    Attributes:
        name: six OBIS bytes.
        status: status word, None when absent.
        time: when the value was taken, None when absent.
        unit: DLMS unit code, None when absent.
        scaler: decimal exponent.
        value: a Number, bytes, a bool, or whatever else the meter put there.
    """

    name: bytes
    status: int | None
    time: Time | None
    unit: int | None
    scaler: int
    value: Tree


class ListResponse(NamedTuple):
    """SML_GetList.Res: server id, list name, sensor time, entries."""

    server: bytes
    name: bytes
    time: Time | None
    entries: tuple[Entry, ...]


def decode(telegram: bytes, *, verify: bool = True) -> tuple[Message, ...]:
    """The messages of a transport frame.

    Args:
        telegram: the frame, 1B1B1B1B01010101 ... CRC.
        verify: False accepts wrong CRCs, of the frame and of messages.

    Raises:
        DecodeError: whatever the bytes; offsets count in the unescaped content.
    """
    content = transport.unframe(telegram, verify=verify)
    messages: list[Message] = []
    position = 0
    while position < len(content):
        if content[position] == 0:
            position += 1
            continue
        message, position = _message(content, position, verify=verify)
        messages.append(message)
    return tuple(messages)


def encode_file(messages: tuple[Message, ...]) -> bytes:
    """The transport frame of messages, the inverse of `decode`."""
    return transport.frame(b"".join(map(_encode_message, messages)))


def list_response(message: Message) -> ListResponse:
    """The values of a GET_LIST_RESPONSE message. Raises DecodeError(MALFORMED)."""
    body = message.body
    if len(body) < 5 or not isinstance(body[1], bytes) or not isinstance(body[4], list):
        raise malformed("a value list of another shape")
    name = body[2] if isinstance(body[2], bytes) else b""
    entries = tuple([_entry(item) for item in body[4]])
    return ListResponse(body[1], name, _time(body[3]), entries)


def encode_entry(entry: Entry) -> Tree:
    """The tree of a value without status and time."""
    unit: Tree = _ABSENT if entry.unit is None else number(entry.unit, signed=False, width=1)
    scaler = number(entry.scaler, signed=True, width=1)
    return [entry.name, _ABSENT, _ABSENT, unit, scaler, entry.value, _ABSENT]


def encode_time(seconds: int) -> Tree:
    """The tree of an absolute time."""
    return [number(2, signed=False, width=1), number(seconds, signed=False, width=4)]


def _message(content: bytes, start: int, *, verify: bool) -> tuple[Message, int]:
    if content[start] != _MESSAGE:
        raise malformed(f"no message but {content[start]:02X}", start)
    tree, position = parse(content, start)
    match tree:
        case [bytes() as transaction, Number() as group, Number() as abort, choice, crc, None]:
            pass
        case _:
            raise malformed("no message of six elements", start)
    match choice:
        case [Number() as tag, list() as body] if isinstance(crc, Number):
            pass
        case _:
            raise malformed("no message body and check", start)
    # Before the end mark stands the CRC element, which its own type-length byte measures. It is a
    # big-endian number of a CRC with its low byte first.
    checked = content[start : position - 1 - (crc.tag & 0x0F)]
    if verify and not transport.crc_fits(checked, transport.swapped(crc.value)):
        raise bad_checksum("the CRC of a message does not fit", position - 1)
    width = (tag.tag & 0x0F) - 1
    return Message(transaction, group.value, abort.value, tag.value, body, width), position


def _encode_message(message: Message) -> bytes:
    head: list[Tree] = [
        message.transaction,
        number(message.group, signed=False, width=1),
        number(message.abort, signed=False, width=1),
        [number(message.tag, signed=False, width=message.tag_width), message.body],
    ]
    octets = bytes((_MESSAGE,)) + b"".join(encode(element) for element in head)
    return (
        octets
        + encode(number(transport.swapped(crc16_x25(octets)), signed=False, width=2))
        + b"\x00"
    )


def _entry(item: Tree) -> Entry:
    match item:
        case [bytes() as name, status, time, unit, scaler, value, *_] if len(name) == 6:
            return Entry(
                name,
                status.value if type(status) is Number else None,
                _time(time) if time else None,
                unit.value if type(unit) is Number else None,
                scaler.value if type(scaler) is Number else 0,
                value,
            )
    raise malformed("a list entry of another shape")


def _time(tree: Tree) -> Time | None:
    """A time: a choice of second index (1), timestamp (2) or local timestamp (3).

    Some Holley meters leave the choice out and send the second index alone.
    """
    match tree:
        case Number():
            return Time(absolute=False, seconds=tree.value)
        case [Number() as choice, Number() as seconds]:
            return Time(choice.value == 2, seconds.value)
        case [Number(), [Number() as seconds, *_]]:
            return Time(absolute=True, seconds=seconds.value)
    return None
