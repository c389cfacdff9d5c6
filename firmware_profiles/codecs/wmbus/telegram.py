"""From the octets of a radio frame to a meter's message, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Below:
    """What the layers below the transport layer say.

    Attributes:
        frame: the radio frame.
        data: its octets, an extended link layer opened.
        start: offset of the next CI field.
        access: access number of the extended link layer, 0 without one.
        key: the meter's key.
    """

    frame: RadioFrame
    data: bytes
    start: int
    access: int
    key: bytes | None


def _whitened(below: _Below, head: Transport) -> Telegram | None:
    """A message that only its maker's whitening hides; None for another."""
    opened = makers.open_records(below.frame.address, below.frame.data)
    if opened is None:
        return None
    address, body = opened
    records = read_records(body, manufacturer=address.manufacturer)
    return Telegram(address, tuple(records), head.access, head.status)


def _authenticated(below: _Below) -> Authentication:
    """The authentication layer, which is empty when there is none."""
    if below.data[below.start : below.start + 1] == bytes([CI_FIELD]):
        return read_authentication(below.data, below.start)
    return _NO_AUTHENTICATION


def _message(below: _Below, formats: Mapping[int, Headers]) -> Telegram:
    """The message above the link layers: authentication, transport header, records."""
    data, layer = below.data, _authenticated(below)
    start = layer.start or below.start
    head = read_transport(data, start, len(data))
    if not is_known(head.configuration):
        hidden = _whitened(below, head)
        if hidden:
            return hidden
    address = head.address or below.frame.address
    access = below.access if head.access is None else head.access
    context = Context(below.key, address.link_octets, access, layer.counter)
    check_mac(layer, data[start:], key=below.key, identification=address.identification)
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
        access=access,
        status=head.status,
        radio=below.frame.address if below.frame.address != address else None,
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
    return _message(_Below(frame, data, start, access, key), formats)


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
