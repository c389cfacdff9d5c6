"""Records made from a maker's fields, under the headers of the standard."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from firmware_profiles.codecs.mbus.header import Header, header
from firmware_profiles.codecs.mbus.records import Record, truncated
from firmware_profiles.codecs.mbus.value import Stamp, Value


@lru_cache(maxsize=256)
def _head(octets: str, exponent: int | None) -> Header:
    head = header(bytes.fromhex(octets))
    return head if exponent is None else replace(head, exponent=exponent)


def made(octets: str, value: Value, exponent: int | None = None) -> Record:
    """A record of a value.

    Args:
        octets: DIF to VIFE in hex, as a meter of the standard would send it.
        value: the value.
        exponent: decimal exponent when it is not that of the VIF.
    """
    return Record(_head(octets, exponent), b"", value)


def date(year: int, month: int, day: int) -> Stamp | None:
    """A date, None when there is none such."""
    try:
        return Stamp(datetime(year, month, day), date_only=True)  # noqa: DTZ001 - local
    except ValueError:
        return None


def need(payload: bytes, size: int) -> None:
    """Refuse a payload that is shorter. Raises DecodeError(TRUNCATED)."""
    if len(payload) < size:
        raise truncated(f"a payload of {size} bytes wanted, {len(payload)} given", len(payload))


def unsigned(payload: bytes, start: int, size: int) -> int:
    """A little-endian number."""
    return int.from_bytes(payload[start : start + size], "little")


def dib(coding: int, storage: int) -> str:
    """DIF and DIFE of a storage number below 32, in hex."""
    return bytes((0x80 | coding | (storage & 1) << 6, storage >> 1)).hex()
