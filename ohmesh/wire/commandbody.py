"""What commands carry beside their fixed fields, and what meters read back. Big-endian.

| kind | body | proof |
|---|---|---|
| LOAD_PROFILE_READ | from_s 5, to_s 5 | rows 2 |
| TARIFF_SET | version 4, then switches of minute 2, rate 1 | digest of the body, 8 |
| TOKEN_ENTER | 20 digits, ASCII | verdict 1, credit 8 (signed) |
| KEY_CHANGE | key 16 | none: the result comes under the new key |
| FIRMWARE | version 4, size 4, SHA-256 32 | the same of the image that runs, at the end |
| FIRMWARE, in progress | - | first 4, then a map of 128 blocks from there on, 16: 1 is wanted |
| FIRMWARE_BLOCK | up to 88 bytes of the image | - |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

from ohmesh.model.errors import Malformed

LOAD_PROFILE_ROWS_MAX = 192
"""Of one reading of a load profile: two days of quarter-hours."""
TOKEN_DIGITS = 20
SWITCHES_MAX = 30
RATES = range(1, 9)
_DAY_MINUTES = 1440
SLOT_MINUTES = 15
"""Rates change at multiples of this alone."""
BLOCK_BYTES = 88
IMAGE_MAX_BYTES = 1 << 19
WANTED_BITS = 128


@dataclass(frozen=True, slots=True)
class Period:
    """Interval ends later than `from_s` and not later than `to_s`, UTC seconds since 1970."""

    from_s: int
    to_s: int

    def encode(self) -> bytes:
        """10 bytes."""
        return self.from_s.to_bytes(5, "big") + self.to_s.to_bytes(5, "big")


def decode_period(octets: bytes) -> Period:
    """Raises Malformed."""
    _need(len(octets) == 10, f"a period has 10 bytes, not {len(octets)}")
    period = Period(int.from_bytes(octets[:5], "big"), int.from_bytes(octets[5:], "big"))
    _need(period.from_s < period.to_s, "a period ends after it begins")
    return period


@dataclass(frozen=True, slots=True)
class TariffTable:
    """Which rate counts when.

    Attributes:
        version: names the table; 0..2**32-1.
        switches: (minute of the meter's day UTC, rate 1..8) in order, the first at minute 0.
    """

    version: int
    switches: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Raises Malformed."""
        minutes = [minute for minute, _ in self.switches]
        _need(0 < len(self.switches) <= SWITCHES_MAX, f"1 to {SWITCHES_MAX} switches")
        _need(minutes[0] == 0, "the first switch is at minute 0")
        _need(minutes == sorted(set(minutes)), "switches stand in order, each minute once")
        inside = all(m < _DAY_MINUTES and m % SLOT_MINUTES == 0 for m in minutes)
        _need(inside, f"rates change at multiples of {SLOT_MINUTES} min of the day")
        _need(all(rate in RATES for _, rate in self.switches), "rates are 1 to 8")
        _need(0 <= self.version < 1 << 32, "a version has 32 bits")

    def rate_at(self, moment_s: int) -> int:
        """The rate that counts at a moment, UTC seconds since 1970."""
        now = moment_s // 60 % _DAY_MINUTES
        return next(rate for minute, rate in reversed(self.switches) if minute <= now)

    def encode(self) -> bytes:
        """4 bytes and 3 for each switch."""
        parts = (minute.to_bytes(2, "big") + bytes((rate,)) for minute, rate in self.switches)
        return self.version.to_bytes(4, "big") + b"".join(parts)


def decode_tariff(octets: bytes) -> TariffTable:
    """Raises Malformed."""
    _need(len(octets) % 3 == 1, f"{len(octets)} bytes are no tariff")
    switches = tuple(struct.iter_unpack(">HB", octets[4:]))
    return TariffTable(int.from_bytes(octets[:4], "big"), switches)


def decode_token(octets: bytes) -> str:
    """The digits of a token. Raises Malformed."""
    _need(len(octets) == TOKEN_DIGITS and octets.isdigit(), "a token has 20 digits")
    return octets.decode("ascii")


VERDICTS = (
    "accept",
    "accept_partial",
    "accept_key_changed",
    "reject_format",
    "reject_crc",
    "reject_function",
    "reject_key_expired",
    "reject_old",
    "reject_used",
    "reject_overflow",
)
"""A verdict's place is its number (`ohmesh.tokens.acceptance.Verdict`)."""


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """What a meter says of a token: a word of VERDICTS, and its credit in tenths of a kWh."""

    word: str
    credit: int

    def encode(self) -> bytes:
        """9 bytes."""
        return struct.pack(">Bq", VERDICTS.index(self.word), self.credit)


def decode_verdict(octets: bytes) -> TokenVerdict:
    """Raises Malformed."""
    _need(len(octets) == 9 and octets[0] < len(VERDICTS), "no verdict on a token")
    number, credit = struct.unpack(">Bq", octets)
    return TokenVerdict(VERDICTS[number], credit)


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that a meter shall run."""

    version: int
    size: int
    sha256: bytes

    @classmethod
    def of(cls, version: int, image: bytes) -> Offer:
        """The offer of an image."""
        return cls(version, len(image), sha256(image).digest())

    @property
    def blocks(self) -> int:
        """How many blocks carry the image."""
        return -(-self.size // BLOCK_BYTES)

    def encode(self) -> bytes:
        """40 bytes."""
        return struct.pack(">II32s", self.version, self.size, self.sha256)


def decode_offer(octets: bytes) -> Offer:
    """Raises Malformed."""
    _need(len(octets) == 40, f"an offer has 40 bytes, not {len(octets)}")
    offer = Offer(*struct.unpack(">II32s", octets))
    _need(0 < offer.size <= IMAGE_MAX_BYTES, f"an image has 1 to {IMAGE_MAX_BYTES} bytes")
    return offer


def encode_wanted(missing: list[int]) -> bytes:
    """20 bytes: the wanted blocks within reach of the first; `missing` rises, is not empty."""
    first = missing[0]
    bits = sum(1 << number - first for number in missing if number - first < WANTED_BITS)
    return first.to_bytes(4, "big") + bits.to_bytes(WANTED_BITS // 8, "little")


def decode_wanted(octets: bytes) -> list[int]:
    """The wanted blocks; none in an empty proof. Raises Malformed."""
    if not octets:
        return []
    _need(len(octets) == 4 + WANTED_BITS // 8, f"{len(octets)} bytes say nothing of blocks")
    first, bits = int.from_bytes(octets[:4], "big"), int.from_bytes(octets[4:], "little")
    return [first + offset for offset in range(WANTED_BITS) if bits >> offset & 1]


def _need(good: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not good:
        raise Malformed(what)
