"""From the octets of a radio frame to a meter's message, layer by layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus import compact
from firmware_profiles.codecs.mbus.records import read_records, truncated
from firmware_profiles.codecs.mbus.security import Context, is_known
from firmware_profiles.codecs.mbus.telegram import Telegram, read_body
from firmware_profiles.codecs.mbus.transport import Transport, read_transport
from firmware_profiles.codecs.wmbus import makers
from firmware_profiles.codecs.wmbus.authentication import (
    CI_FIELD,
    Authentication,
    check_mac,
    read_authentication,
)
from firmware_profiles.codecs.wmbus.extended import CI_FIELDS, read_extended
from firmware_profiles.codecs.wmbus.link import (
    BLOCK_CHECK_BYTES,
    HEAD_BYTES,
    RadioFrame,
    read_frames,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firmware_profiles.codecs.mbus.compact import Headers

_NO_AUTHENTICATION = Authentication(start=0, counter=None, mac=b"", covered=b"")


def _context(frame: RadioFrame, head: Transport, access: int, key: bytes | None) -> Context:
    """Who sends: the transport header when it names a meter, otherwise the link."""
    address = head.address or frame.address
    number = access if head.access is None else head.access
    return Context(key, address.link_octets, number)


def _message(
    frame: RadioFrame,
    data: bytes,
    start: int,
    *,
    access: int,
    key: bytes | None,
    formats: Mapping[int, Headers],
) -> Telegram:
    """The message from the CI field at `start`, below which no layer is left but the AFL."""
    layer = _NO_AUTHENTICATION
    if data[start : start + 1] == bytes([CI_FIELD]):
        layer = read_authentication(data, start)
        start = layer.start
    head = read_transport(data, start, len(data))
    if not is_known(head.configuration):
        opened = makers.open_records(frame.address, frame.data)
        if opened:
            address, body = opened
            records = tuple(read_records(body, manufacturer=address.manufacturer))
            return Telegram(address, records, head.access, head.status)
    plain = _context(frame, head, access, key)
    context = Context(plain.key, plain.address, plain.access, layer.counter)
    check_mac(layer, data[start:], key=key, identification=context.address[2:6])
    address = head.address or frame.address
    records = read_body(
        data,
        head,
        len(data),
        context=context,
        formats=formats,
        instead=partial(makers.read_instead, address),
        leftover=BLOCK_CHECK_BYTES,
    )
    return Telegram(
        address=address,
        records=makers.open_blocks(address, records),
        access=context.access,
        status=head.status,
        radio=frame.address if head.address else None,
        counter=int.from_bytes(layer.counter, "little") if layer.counter else None,
    )


def _read_frame(
    frame: RadioFrame, key: bytes | None, *, verify: bool, formats: Mapping[int, Headers]
) -> Telegram:
    data, start, access = frame.data, HEAD_BYTES, 0
    if len(data) <= start:
        raise truncated("no CI field", start)
    if data[start] in CI_FIELDS:
        layer = read_extended(data, key=key, verify=verify)
        data, start, access = layer.data, layer.start, layer.access
    if start < len(data) and makers.is_maker_ci(data[start]):
        return makers.read(frame.address, data, start)
    return _message(frame, data, start, access=access, key=key, formats=formats)


def read_radio(payload: bytes, *, key: bytes | None = None, verify: bool = True) -> list[Telegram]:
    """Decode the radio frames in a payload.

    Args:
        payload: from the L field, with or without block checks; more than one frame may follow
            another, and a full frame then gives the format of compact frames behind it.
        key: AES-128 key of the meter.
        verify: False accepts wrong checks.

    Returns:
        A message a frame.

    Raises:
        DecodeError: the only error, whatever the bytes.
    """
    frames = read_frames(payload, verify=verify)
    if len(frames) == 1:
        return [_read_frame(frames[0], key, verify=verify, formats=compact.FORMATS)]
    formats = dict(compact.FORMATS)
    found: list[Telegram] = []
    for frame in frames:
        telegram = _read_frame(frame, key, verify=verify, formats=formats)
        compact.learn(formats, telegram.records)
        found.append(telegram)
    return found
