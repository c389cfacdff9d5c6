"""Payment: classes 111 Account, 112 Credit, 113 Charge, 115 Token gateway (IEC 62056-6-2, 4.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.axdr import BitString
from firmware_profiles.codecs.dlms.errors import AccessResult
from firmware_profiles.codecs.dlms.objects.base import CosemObject
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from firmware_profiles.codecs.axdr import Value

ACCOUNT = Obis.parse("0-0:19.0.0")
CREDIT = Obis.parse("0-0:19.10.0")
CHARGE = Obis.parse("0-0:19.20.0")
TOKEN_GATEWAY = Obis.parse("0-0:19.40.0")
_NOT_SPECIFIED = axdr.octets(bytes.fromhex("ffffffffffffffffff8000ff"))
_IN_USE, _EXHAUSTED = 3, 4
"""States of a credit (class 112, credit_status)."""
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


class AccountStatus(IntEnum):
    """State of an account."""

    NEW = 1
    ACTIVE = 2
    CLOSED = 3


class Credit(CosemObject):
    """Class 112: an amount that consumption and charges take from.

    Args:
        obis: logical name.
        credit_type: 0 token, 1 reserved, 2 emergency, 3 time based, 4 consumption based.
        amount: in the account's currency scale.
        warning: threshold of the low-credit warning.
        limit: where the credit is exhausted.
    """

    def __init__(
        self,
        obis: Obis = CREDIT,
        *,
        credit_type: int = 0,
        amount: int = 0,
        warning: int = 0,
        limit: int = 0,
    ) -> None:
        super().__init__(112, 0, obis)
        self.amount = amount
        self._limit = limit
        self.attributes = {
            2: lambda _now: axdr.int32(self.amount),
            3: axdr.enum(credit_type),
            4: axdr.uint8(1),
            5: axdr.int32(warning),
            6: axdr.int32(limit),
            7: axdr.bits(BitString(5, b"\x00")),
            8: lambda _now: axdr.enum(_EXHAUSTED if self.exhausted else _IN_USE),
            9: axdr.int32(0),
            10: axdr.int32(0),
            11: _NOT_SPECIFIED,
        }
        self.writable = frozenset({4, 5})
        self.methods = {1: self._update, 2: self._set_amount, 3: self._invoke}

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left above the limit."""
        return self.amount <= self._limit

    def add(self, amount: int, index: int = 1) -> None:
        """Change the amount. Raises AccessRefused when it leaves 32 bits."""
        changed = self.amount + amount
        if not _INT32_MIN <= changed <= _INT32_MAX:
            raise self.refused(AccessResult.OTHER_REASON, index)
        self.amount = changed

    def _update(self, parameter: Value, _now: datetime) -> bytes:
        self.add(self.need_int(parameter, 1))
        return b""

    def _set_amount(self, parameter: Value, _now: datetime) -> bytes:
        before = self.amount
        self.add(self.need_int(parameter, 2) - before, 2)
        return axdr.int32(before)

    def _invoke(self, _parameter: Value, _now: datetime) -> bytes:
        return b""


class Charge(CosemObject):
    """Class 113: what is collected, by consumption or time, until nothing remains.

    Args:
        obis: logical name.
        charge_type: 0 consumption based, 1 time based, 2 payment based.
        unit_charge: price of a commodity unit or a period, in the currency scale.
        remaining: amount that remains to be collected, 0 for an endless charge.
    """

    def __init__(
        self,
        obis: Obis = CHARGE,
        *,
        charge_type: int = 0,
        unit_charge: int = 0,
        remaining: int = 0,
    ) -> None:
        super().__init__(113, 0, obis)
        self.paid = 0
        self.remaining = remaining
        self._last = 0
        table = _unit_charge(unit_charge)
        self.attributes = {
            2: lambda _now: axdr.int32(self.paid),
            3: axdr.enum(charge_type),
            4: axdr.uint8(1),
            5: table,
            6: table,
            7: _NOT_SPECIFIED,
            8: axdr.uint32(0),
            9: axdr.bits(BitString(2, b"\x00")),
            10: _NOT_SPECIFIED,
            11: lambda _now: axdr.int32(self._last),
            12: lambda _now: axdr.int32(self.remaining),
            13: axdr.uint16(0),
        }
        self.writable = frozenset({4, 6, 7, 8, 13})
        self.methods = {2: self._activate, 4: self._update, 5: self._set_remaining}

    def collect(self, amount: int) -> None:
        """Book a collected amount."""
        self.paid += amount
        self._last = amount
        self.remaining = max(0, self.remaining - amount)

    def _activate(self, _parameter: Value, _now: datetime) -> bytes:
        self.attributes[5] = self.attributes[6]
        return b""

    def _update(self, parameter: Value, _now: datetime) -> bytes:
        self.remaining += self.need_int(parameter, 4)
        return b""

    def _set_remaining(self, parameter: Value, _now: datetime) -> bytes:
        self.remaining = self.need_int(parameter, 5)
        return b""


def _unit_charge(price: int) -> bytes:
    """Charge-per-unit scaling, commodity reference and table of one price."""
    scaling = axdr.structure(axdr.int8(0), axdr.int8(0))
    commodity = axdr.structure(
        axdr.uint16(3), axdr.octets(Obis.parse("1-0:1.8.0").to_bytes()), axdr.int8(2)
    )
    element = axdr.structure(axdr.octets(b""), axdr.int16(price))
    return axdr.structure(scaling, commodity, axdr.array(element))


@dataclass(frozen=True, slots=True)
class Currency:
    """Currency of an account: name, decimal exponent, and unit 0 time, 1 consumption, 2 money."""

    name: str
    scale: int
    unit: int = 2


class Account(CosemObject):
    """Class 111: ties credits and charges together.

    Args:
        credits_: the credits, the one in use first.
        charges: the charges.
        currency: in which amounts are counted.
        prepaid: False for an account in credit mode.
    """

    def __init__(
        self,
        credits_: Sequence[Credit],
        charges: Sequence[Charge],
        currency: Currency,
        *,
        prepaid: bool = True,
    ) -> None:
        super().__init__(111, 0, ACCOUNT)
        self.status = AccountStatus.ACTIVE
        self._credits = tuple(credits_)
        mode = 2 if prepaid else 1
        unit = axdr.structure(
            b"\x0c" + axdr.octets(currency.name.encode())[1:],
            axdr.int8(currency.scale),
            axdr.enum(currency.unit),
        )
        zero = axdr.int32(0)
        self.attributes = {
            2: lambda _now: axdr.structure(axdr.enum(mode), axdr.enum(self.status)),
            3: axdr.uint8(0),
            4: axdr.bits(BitString(8, b"\x00")),
            5: lambda _now: axdr.int32(self.available),
            6: lambda _now: axdr.int32(max(0, -self.available)),
            7: zero,
            8: lambda _now: axdr.int32(sum(charge.remaining for charge in charges)),
            9: axdr.array(*[axdr.octets(c.obis.to_bytes()) for c in credits_]),
            10: axdr.array(*[axdr.octets(c.obis.to_bytes()) for c in charges]),
            11: axdr.array(),
            12: axdr.array(),
            13: _NOT_SPECIFIED,
            14: _NOT_SPECIFIED,
            15: unit,
            16: zero,
            17: zero,
            18: axdr.uint16(0),
            19: zero,
        }
        self.writable = frozenset({7, 13, 14, 16, 17, 18, 19})
        self.methods = {1: self._activate, 2: self._close, 3: self._reset}

    @property
    def available(self) -> int:
        """Sum of the credits."""
        return sum(credit.amount for credit in self._credits)

    def _activate(self, _parameter: Value, _now: datetime) -> bytes:
        self.status = AccountStatus.ACTIVE
        return b""

    def _close(self, _parameter: Value, _now: datetime) -> bytes:
        self.status = AccountStatus.CLOSED
        return b""

    def _reset(self, _parameter: Value, _now: datetime) -> bytes:
        if self.status is not AccountStatus.CLOSED:
            raise self.refused(AccessResult.READ_WRITE_DENIED, 3)
        self.status = AccountStatus.NEW
        return b""


class TokenStatus(IntEnum):
    """What became of a token (class 115, status_code)."""

    FORMAT_OK = 0
    AUTHENTIC = 1
    VALID = 2
    EXECUTED = 3
    FORMAT_FAILURE = 4
    AUTHENTICATION_FAILURE = 5
    VALIDATION_FAILURE = 6
    EXECUTION_FAILURE = 7
    RECEIVED = 8


class TokenGateway(CosemObject):
    """Class 115: takes tokens; what they mean is decided elsewhere.

    Args:
        judge: token and time -> what became of it.
    """

    def __init__(self, judge: Callable[[bytes, datetime], TokenStatus]) -> None:
        super().__init__(115, 0, TOKEN_GATEWAY)
        self._judge = judge
        nothing = axdr.structure(axdr.enum(TokenStatus.RECEIVED), axdr.bits(BitString(0, b"")))
        self.attributes = {
            2: axdr.octets(b""),
            3: _NOT_SPECIFIED,
            4: axdr.array(),
            5: axdr.enum(0),
            6: nothing,
        }
        self.methods = {1: self._enter}

    def _enter(self, parameter: Value, now: datetime) -> bytes:
        if not isinstance(parameter, bytes):
            raise self.refused(AccessResult.TYPE_UNMATCHED, 1)
        status = self._judge(parameter, now)
        answer = axdr.structure(axdr.enum(status), axdr.bits(BitString(0, b"")))
        self.attributes[2] = axdr.octets(parameter)
        self.attributes[6] = answer
        return answer
