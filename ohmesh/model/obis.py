"""OBIS: the six-number name A-B:C.D.E*F of a measured quantity (IEC 62056-61)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ohmesh.model.errors import ModelError

_TEXT = re.compile(
    r"(?:(\d{1,3})-(\d{1,3}):)?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[*&.](\d{1,3}))?"
)
UNUSED = 255
"""Value of group F (and of others) when the group is not used."""


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """One OBIS code; each group 0..255, F 255 when unused."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int = UNUSED

    def __str__(self) -> str:
        tail = "" if self.f == UNUSED else f"*{self.f}"
        return f"{self.a}-{self.b}:{self.c}.{self.d}.{self.e}{tail}"

    def to_bytes(self) -> bytes:
        """The six octets of a DLMS logical name."""
        return bytes((self.a, self.b, self.c, self.d, self.e, self.f))

    @classmethod
    def from_bytes(cls, octets: bytes) -> Obis:
        """From the six octets of a DLMS logical name. Raises ModelError on another length."""
        if len(octets) != 6:
            raise ModelError(f"an OBIS code has 6 octets, not {len(octets)}")
        return cls(*octets)

    @classmethod
    def parse(cls, text: str) -> Obis:
        """From `1-0:1.8.0`, `1.8.0` (A-B default 1-0) or `1-0:1.8.0*255`. Raises ModelError."""
        return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Obis:
    match = _TEXT.fullmatch(text)
    if not match:
        raise ModelError(f"{text!r} is not an OBIS code such as 1-0:1.8.0")
    a, b, c, d, e, f = match.groups()
    groups = (int(a or 1), int(b or 0), int(c), int(d), int(e or 0), int(f or UNUSED))
    if max(groups) > UNUSED:
        raise ModelError(f"a group of {text!r} is above 255")
    return Obis(*groups)
