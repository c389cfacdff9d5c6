"""A meter's message: who, when in its own count, and the records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firmware_profiles.codecs.cursor import unsupported
from firmware_profiles.codecs.mbus import fixed
from firmware_profiles.codecs.mbus.compact import FORMATS, read_compact
from firmware_profiles.codecs.mbus.link import read_long_frame
from firmware_profiles.codecs.mbus.records import Record, read_records
from firmware_profiles.codecs.mbus.security import Context, Mode, mode_of, open_body
from firmware_profiles.codecs.mbus.transport import Address, Body, Transport, read_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firmware_profiles.codecs.mbus.compact import Headers

_FIXED, _FIXED_HIGH_FIRST = 0x73, 0x77
_APPLICATION_ERRORS = (
    "unspecified error",
    "CI field not implemented",
    "buffer too long",
    "too many records",
    "premature end of a record",
    "more than ten DIFEs",
    "more than ten VIFEs",
    "reserved",
    "application busy",
    "too many readouts",
)
"""EN 13757-3, table of the general application errors."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """A decoded message.

    Attributes:
        address: of the meter; None when a wired meter sends no header.
        records: data records in their order.
        access: access number, None without a header.
        status: status octet.
        primary: primary address on a wire, None over the air.
        radio: address of the radio module when it is another device than the meter.
        counter: message counter of an authenticated message.
    """

    address: Address | None
    records: tuple[Record, ...]
    access: int | None = None
    status: int = 0
    primary: int | None = None
    radio: Address | None = None
    counter: int | None = None


def _refuse_error(data: bytes, start: int, end: int) -> None:
    code = data[start] if start < end else 0
    known = code < len(_APPLICATION_ERRORS)
    text = _APPLICATION_ERRORS[code] if known else f"code {code:02X}"
    raise unsupported(f"the meter reports an application error: {text}", start)


def _ordinary(_body: bytes) -> None:
    """No body is read in another way."""


def read_body(
    data: bytes,
    head: Transport,
    end: int,
    *,
    context: Context,
    formats: Mapping[int, Headers] = FORMATS,
    instead: Callable[[bytes], list[Record] | None] = _ordinary,
    leftover: int = 0,
) -> tuple[Record, ...]:
    """The records behind a transport header.

    Args:
        data: the telegram.
        head: its transport header.
        end: one past the application data.
        context: key and address for protected data.
        formats: known formats of compact frames.
        instead: reads a body that has no records, None for an ordinary one.
        leftover: octets at the end that may be no record, see `read_records`.

    Raises:
        DecodeError: whatever is wrong.
    """
    if head.body is Body.ERROR:
        _refuse_error(data, head.start, end)
    if head.body is Body.EMPTY:
        return ()
    data, start = open_body(
        data, head.start, end, configuration=head.configuration, context=context
    )
    maker = int.from_bytes(context.address[:2], "little")
    foreign = instead(data[start:])
    if foreign is not None:
        return tuple(foreign)
    if head.body is Body.COMPACT:
        found = read_compact(data, start, len(data), manufacturer=maker, formats=formats)
    else:
        high_first = head.body is Body.RECORDS_HIGH_FIRST
        found = read_records(
            data, start, manufacturer=maker, high_first=high_first, leftover=leftover
        )
    return tuple(found)


def _read_fixed(frame: bytes, start: int, end: int, primary: int) -> Telegram:
    high_first = frame[start] == _FIXED_HIGH_FIRST
    address, (access, status), records = fixed.read_fixed(
        frame, start + 1, end, high_first=high_first
    )
    return Telegram(address, tuple(records), access, status, primary)


def _without_signature(head: Transport) -> Transport:
    """Older wired meters put anything into the field that now names the security mode."""
    if head.configuration == 0 or mode_of(head.configuration) in {Mode.CBC, Mode.CBC_DERIVED}:
        return head
    return replace(head, configuration=Mode.PLAIN)


def read_wired(frame: bytes, *, key: bytes | None = None, verify: bool = True) -> Telegram:
    """Decode a wired long frame.

    Args:
        frame: from 68 to 16.
        key: AES-128 key of an encrypted meter.
        verify: False accepts a wrong checksum.

    Raises:
        DecodeError: the only error, whatever the bytes.
    """
    link = read_long_frame(frame, verify=verify)
    is_fixed = frame[link.start] == _FIXED and link.end - link.start == fixed.SIZE + 1
    if is_fixed or frame[link.start] == _FIXED_HIGH_FIRST:
        return _read_fixed(frame, link.start, link.end, link.address)
    head = _without_signature(read_transport(frame, link.start, link.end))
    octets = head.address.link_octets if head.address else bytes(8)
    context = Context(key, octets, head.access or 0)
    records = read_body(frame, head, link.end, context=context)
    return Telegram(head.address, records, head.access, head.status, link.address)
