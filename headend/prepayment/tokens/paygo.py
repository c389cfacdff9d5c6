"""OpenPAYGO tokens for time-based devices, through the `openpaygo` library behind our guards.

The device's count never goes back, except by a counter synchronisation: the library returns the
count of the token, and a device that stored it after an older ADD_TIME token would take the newest
token twice. `used_counts` begins as `(start_count,)`: without it the library forgets.

The cost of a token grows with the count, as the chain is walked from its start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from openpaygo import OpenPAYGOTokenDecoder, OpenPAYGOTokenEncoder

from ohmesh.model.errors import PrepaymentError

VALUE_MAX = 995
VALUE_MAX_EXTENDED = 999_999
COUNT_MAX = 100_000
"""A bound on the walk along the chain; a device lives on far less."""
_DIGITS = {False: (9, 12), True: (15, 20)}


class PaygoType(IntEnum):
    """Kinds of tokens; the numbers are the library's."""

    ADD_TIME = 1
    SET_TIME = 2
    DISABLE_PAYG = 3
    COUNTER_SYNC = 4
    INVALID = 10
    ALREADY_USED = 11


WITH_VALUE = frozenset({PaygoType.ADD_TIME, PaygoType.SET_TIME})
_ISSUED = frozenset(PaygoType) - {PaygoType.INVALID, PaygoType.ALREADY_USED}


@dataclass(frozen=True, slots=True)
class PaygoKey:
    """A device's secret (32 hexadecimal digits) and its way of writing tokens.

    `starting_code` None: derived from the key. `restricted`: digits 1 to 4. `extended`: longer
    tokens of a wider value.
    """

    secret_hex: str
    starting_code: int | None = None
    restricted: bool = False
    extended: bool = False


@dataclass(frozen=True, slots=True)
class PaygoToken:
    """A token and the count that is stored with it, before it is handed out."""

    digits: str
    count: int


def check(kind: PaygoType, value: int | None, *, extended: bool) -> None:
    """Raises PrepaymentError(token_field): a value that the kind does not take."""
    if kind not in _ISSUED or (kind in WITH_VALUE) != (value is not None):
        raise PrepaymentError("token_field", f"a token {kind.name} does not take the value {value}")
    if not 0 <= (value or 0) <= (VALUE_MAX_EXTENDED if extended else VALUE_MAX):
        raise PrepaymentError("token_field", f"the value {value} is out of range")


def next_count(count: int, kind: PaygoType) -> int:
    """The count of the next token: even ones add time, odd ones do all else."""
    return count + 2 - (count + (kind is not PaygoType.ADD_TIME)) % 2


def issue(key: PaygoKey, count: int, kind: PaygoType, value: int | None = None) -> PaygoToken:
    """The next token of a kind after `count`; the same arguments give the same token.

    Raises:
        PrepaymentError: a value that the kind does not take, or a count out of bounds.
    """
    check(kind, value, extended=key.extended)
    if not 0 <= count <= COUNT_MAX:
        raise PrepaymentError("token_field", f"the count {count} is out of range")
    new_count, digits = OpenPAYGOTokenEncoder.generate_token(
        secret_key=key.secret_hex,
        count=count,
        value=value,
        token_type=kind.value,
        starting_code=key.starting_code,
        restricted_digit_set=key.restricted,
        extended_token=key.extended,
    )
    return PaygoToken(digits, new_count)


@dataclass(frozen=True, slots=True)
class PaygoDevice:
    """What a device keeps.

    Attributes:
        count: highest count taken.
        used_counts: counts near it that were taken.
        days: time left.
        unlocked: for ever, until a SET_TIME.
    """

    count: int
    used_counts: tuple[int, ...]
    days: int = 0
    unlocked: bool = False

    @classmethod
    def new(cls, start_count: int = 1) -> PaygoDevice:
        """A device before its first token."""
        return cls(start_count, (start_count,))


@dataclass(frozen=True, slots=True)
class PaygoEntry:
    """What became of a token: its type and value, and the device after it."""

    kind: PaygoType
    value: int | None
    device: PaygoDevice


def enter(key: PaygoKey, device: PaygoDevice, digits: str) -> PaygoEntry:
    """Key a token in; never raises for what is keyed in."""
    if len(digits) not in _DIGITS[key.restricted] or not set(digits) <= _alphabet(key):
        return PaygoEntry(PaygoType.INVALID, None, device)
    try:
        value, kind, count, used = OpenPAYGOTokenDecoder.decode_token(
            token=digits,
            secret_key=key.secret_hex,
            count=device.count,
            used_counts=list(device.used_counts),
            starting_code=key.starting_code,
            restricted_digit_set=key.restricted,
        )
    except UnboundLocalError:  # the library, on an extended token that is not the device's
        return PaygoEntry(PaygoType.INVALID, None, device)
    taken = PaygoType(kind)
    if taken not in _ISSUED:
        return PaygoEntry(taken, None, device)
    number = int(value) if taken in WITH_VALUE else None
    return PaygoEntry(taken, number, _after(device, taken, number, count, tuple(used)))


def _after(
    device: PaygoDevice, kind: PaygoType, value: int | None, count: int, used: tuple[int, ...]
) -> PaygoDevice:
    kept = count if kind is PaygoType.COUNTER_SYNC else max(device.count, count)
    device = replace(device, count=kept, used_counts=used)
    if kind is PaygoType.ADD_TIME:
        return replace(device, days=device.days + (value or 0))
    if kind is PaygoType.SET_TIME:
        return replace(device, days=value or 0, unlocked=False)
    if kind is PaygoType.DISABLE_PAYG:
        return replace(device, unlocked=True)
    return device


def _alphabet(key: PaygoKey) -> set[str]:
    return set("1234") if key.restricted else set("0123456789")
