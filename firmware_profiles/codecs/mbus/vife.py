"""Orthogonal VIFEs: how they change the quantity of a VIF (EN 13757-3:2018, tables 15 and 16)."""

from __future__ import annotations

from dataclasses import replace

from firmware_profiles.codecs.mbus.quantity import Kind, Quantity
from firmware_profiles.codecs.mbus.vif import DAY_S, HOUR_S, MINUTE_S
from ohmesh.model.unit import Unit

EXTENSION = 0x80
MAKER = 0x7F
SECOND_TABLE = 0x7C
COMPACT_PROFILES = frozenset({0x13, 0x1E, 0x1F})
EXPORT, IMPORT = "export", "import"
PHASES = ("l1", "l2", "l3")

_STEPS = (1, MINUTE_S, HOUR_S, DAY_S)
_NAMES = {
    0x12: "average",
    0x13: "profile",
    0x14: "deviation",
    0x1E: "profile",
    0x1F: "profile",
    0x3A: "uncorrected",
    0x3B: IMPORT,
    0x3C: EXPORT,
    0x3D: "alternate",
    0x3E: "base",
    0x40: "limit_low",
    0x48: "limit_high",
    0x68: "during_low",
    0x69: "leakage",
    0x6C: "during_high",
    0x6D: "overflow",
    0x7E: "future",
}
_COUNTS = {0x41: "low_count", 0x49: "high_count"}
_STAMPS = {0x39: "start"} | {
    code: f"time_{code:02x}" for code in (*range(0x42, 0x50), *range(0x68, 0x70)) if code & 0x02
}
"""Date and time of the begin (bit 0 clear) or end, first (bit 2 clear) or last, of a limit exceed
(4x; bit 3 the upper limit) or of another event (6x)."""
_SECOND = {
    0x01: "l1",
    0x02: "l2",
    0x03: "l3",
    0x04: "n",
    0x05: "l1l2",
    0x06: "l2l3",
    0x07: "l3l1",
    0x08: "q1",
    0x09: "q2",
    0x0A: "q3",
    0x0B: "q4",
    0x0C: "delta",
    0x0D: "alternate",
    0x10: "both",
}
"""The table after VIFE FC."""


def _marked(quantity: Quantity, name: str) -> Quantity:
    return replace(quantity, modifiers=(*quantity.modifiers, name))


def _stamp(quantity: Quantity, name: str) -> Quantity:
    return replace(_marked(quantity, name), unit=None, kind=Kind.STAMP)


def _duration(quantity: Quantity, name: str, step_s: int) -> Quantity:
    timed = replace(quantity, unit=Unit.SECOND, exponent=0, multiplier=step_s, kind=Kind.NUMBER)
    return _marked(timed, name)


def _shifted(quantity: Quantity, exponent: int) -> Quantity:
    return replace(quantity, exponent=quantity.exponent + exponent)


def _count(quantity: Quantity, name: str) -> Quantity:
    return replace(_marked(quantity, name), unit=Unit.COUNT, exponent=0, multiplier=1)


def _named(quantity: Quantity, code: int) -> Quantity:
    if code in _STAMPS:
        return _stamp(quantity, _STAMPS[code])
    if code in _COUNTS:
        return _count(quantity, _COUNTS[code])
    return _marked(quantity, _NAMES.get(code, f"x{code:02x}"))


def _effect(quantity: Quantity, code: int) -> Quantity:
    """The quantity after one VIFE of table 15."""
    if 0x70 <= code <= 0x77:
        return _shifted(quantity, code - 0x76)
    if code == 0x7D:
        return _shifted(quantity, 3)
    if 0x50 <= code <= 0x67:
        return _duration(quantity, f"duration_{code & ~3:02x}", _STEPS[code & 3])
    return _named(quantity, code)


def _maker(quantity: Quantity, octets: bytes) -> Quantity:
    """What follows VIFE FF: a phase number in the practice of several makers, else opaque."""
    if len(octets) == 1 and 1 <= octets[0] <= len(PHASES) and quantity.unit is not Unit.ONE:
        return _marked(quantity, PHASES[octets[0] - 1])
    return _marked(quantity, f"m{octets.hex()}")


def apply(quantity: Quantity, vifes: bytes) -> Quantity:
    """The quantity after its VIFEs.

    Args:
        quantity: what the VIF says.
        vifes: the VIFE octets, extension bits included.
    """
    at = 0
    while at < len(vifes):
        code = vifes[at] & ~EXTENSION
        at += 1
        if code == MAKER:
            return _maker(quantity, vifes[at:])
        if code == SECOND_TABLE and at < len(vifes):
            code = vifes[at] & ~EXTENSION
            quantity = _marked(quantity, _SECOND.get(code, f"y{code:02x}"))
            at += 1
        else:
            quantity = _effect(quantity, code)
    return quantity
