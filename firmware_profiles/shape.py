"""Telegrams of a known shape: which bytes of them say something, and which never change.

A meter sends the same telegram for years: only values, stamps, counters and checks differ. A
profile may *learn* a `Template` from one telegram that its full decoder accepted. A telegram of
the same length whose other bytes are the same, and which is `sound`, means what the full decoder
would say of it, so that its readings can be taken out of their places, many telegrams at a time.

The full decoder stays the truth. A template covers readings with their times and nothing else (no
names of the device, no texts), it never takes what the full decoder refuses, and it gives way in
doubt: what it does not cover goes to the full decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from firmware_profiles.codecs.number import with_scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from ohmesh.model.reading import Quality, Register

_INT64_MAX = (1 << 63) - 1
_TENS_MAX = 18


class Form(Enum):
    """How a number is written."""

    SIGNED = "signed"
    """Two's complement, big-endian."""
    UNSIGNED = "unsigned"
    """Big-endian."""
    DIGITS = "digits"
    """ASCII digits; a byte of them that is none is not covered."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value stands.

    Attributes:
        places: its bytes, the most significant first.
        form: how they are a number.
        register: what it measures.
        factor, divisor: number x factor / divisor is the register's integer.
        finer: what it measures when the divisor does not divide: then the number itself is the
            integer (as `codecs.number.to_register` says); None when the divisor is 1.
        stamp: which of the template's stamps is its time, None when it has none.
    """

    places: tuple[int, ...]
    form: Form
    register: Register
    factor: int
    divisor: int
    finer: Register | None
    stamp: int | None


@dataclass(frozen=True, slots=True)
class StampSlot:
    """Where a time stands.

    Attributes:
        start, stop: its bytes.
        parse: the bytes -> time (None when the meter does not say) and quality; None when the
            template does not cover them.
    """

    start: int
    stop: int
    parse: Callable[[bytes], tuple[datetime | None, Quality] | None]


@dataclass(frozen=True, slots=True)
class Template:
    """Telegrams of one shape.

    Attributes:
        mask: FF where a byte is the same in all of them, 00 elsewhere.
        skeleton: those bytes, 00 elsewhere.
        slots: the values, in the order of the telegram.
        stamps: their times.
        sound: whether a telegram that fits passes its checks, and whatever else the full decoder
            asks of the bytes that differ.
    """

    mask: bytes
    skeleton: bytes
    slots: tuple[Slot, ...]
    stamps: tuple[StampSlot, ...]
    sound: Callable[[bytes], bool]


def build(
    payload: bytes,
    *,
    free: Iterable[range],
    slots: Iterable[Slot | None],
    stamps: Iterable[StampSlot],
    sound: Callable[[bytes], bool],
) -> Template | None:
    """The template of a telegram; None when a slot is None or there is no slot.

    Args:
        payload: the telegram that was learned from.
        free: bytes that may differ, beside those of slots and stamps.
        slots: see `slot`.
        stamps: see `Template`.
        sound: see `Template`.
    """
    found = tuple(slots)
    given = tuple(stamps)
    mask = bytearray(b"\xff" * len(payload))
    for place in (place for one in free for place in one):
        mask[place] = 0
    for stamp in given:
        mask[stamp.start : stamp.stop] = bytes(stamp.stop - stamp.start)
    whole: list[Slot] = []
    for one in found:
        if one is None:
            return None
        whole.append(one)
        for place in one.places:
            mask[place] = 0
    if not whole:
        return None
    skeleton = bytes(octet & keep for octet, keep in zip(payload, mask, strict=True))
    return Template(bytes(mask), skeleton, tuple(whole), given, sound)


def slot(
    places: Iterable[int],
    form: Form,
    register: Register,
    exponent: int,
    stamp: int | None,
) -> Slot | None:
    """The slot of number x 10**exponent; None when a product could leave 64 bits."""
    where = tuple(places)
    shift = exponent - register.scaler
    if abs(shift) > _TENS_MAX or not where:
        return None
    factor, divisor = 10 ** max(shift, 0), 10 ** max(-shift, 0)
    largest = 10 ** len(where) if form is Form.DIGITS else 1 << (8 * len(where))
    if largest * factor > _INT64_MAX and (factor != 1 or largest > 1 << 64):
        return None
    finer = with_scaler(register, exponent) if divisor > 1 else None
    return Slot(where, form, register, factor, divisor, finer, stamp)
