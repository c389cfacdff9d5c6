"""Vending: one request, one token, whatever fails in between.

    prepare   takes TID and random bits and quantizes the amount; the caller PERSISTS the result
    issue     makes the token; the same `Prepared` gives the same token, so a retry is harmless
    verify    reads a token of this meter back

A second token for a request is impossible because `Prepared` is stored under the request's key
before `issue` runs. An issued token is never voided: it is shown again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import sts, tid
from ohmesh.tokens.keys import Dkga, EncryptionAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headend.prepayment.tokens.security import KeyHandle, SecurityModule
    from ohmesh.tokens.amounts import Amount
    from ohmesh.tokens.keys import KeyParams
    from ohmesh.tokens.sts import TokenKind
    from ohmesh.tokens.tid import LastTid


@dataclass(frozen=True, slots=True)
class VendRequest:
    """Make a token.

    Attributes:
        kind: what it does.
        units: tenths of a kWh, 1e-5 currency units, W, or a number, by kind.
        params: the meter and its key.
        last: identifier given to this meter under this key before; None: the first.
    """

    kind: TokenKind
    units: int
    params: KeyParams
    last: LastTid | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a token is made of; it is stored before the token is made."""

    kind: TokenKind
    amount: Amount
    tid: int
    rnd: int
    params: KeyParams

    @property
    def units(self) -> int:
        """What the meter will take, not below what was asked for."""
        return self.token.units

    @property
    def token(self) -> sts.StsToken:
        """The token before it is sealed."""
        return sts.StsToken(self.kind, self.tid, self.amount, self.rnd)


class TokenVendor(Protocol):
    """What vending needs to know of a kind of token."""

    def check(self, params: KeyParams) -> None:
        """Raises PrepaymentError for a meter that the module does not serve."""

    def prepare(self, request: VendRequest, now: datetime) -> Prepared:
        """Everything that is not deterministic. Raises PrepaymentError."""

    def issue(self, prepared: Prepared) -> str:
        """The digits; the same argument gives the same digits. Raises PrepaymentError."""

    def verify(self, params: KeyParams, digits: str) -> sts.StsToken:
        """Read a token back. Raises PrepaymentError (token_format, token_crc, ...)."""


class StsVendor:
    """STS-format tokens through a security module; not certified.

    Args:
        module: holds the vending keys.
        key_ref: the vending key's name in the module.
        dkga: how decoder keys are derived.
        ea: how tokens are encrypted.
        random_bits: 4 random bits a call, 0..15, from a cryptographic source; 5 in tests.
    """

    def __init__(
        self,
        module: SecurityModule,
        key_ref: str,
        *,
        dkga: Dkga = Dkga.HMAC,
        ea: EncryptionAlgorithm = EncryptionAlgorithm.MISTY1,
        random_bits: Callable[[], int],
    ) -> None:
        self._module = module
        self._key_ref = key_ref
        self._dkga = dkga
        self._ea = ea
        self._random_bits = random_bits

    def check(self, params: KeyParams) -> None:
        """Raises PrepaymentError, such as for a real supply group in a test module."""
        self._cipher(params)

    def prepare(self, request: VendRequest, now: datetime) -> Prepared:
        """Take the next identifier and the random bits, and round the amount up."""
        if request.kind.token_class == 0 and request.units <= 0:
            raise PrepaymentError("amount", f"{request.units} units are no credit")
        amount = sts.quantize(request.kind, request.units)
        number = tid.next_tid(now, request.params.base_year, request.last)
        rnd = 0 if request.kind.is_currency else self._random_bits()
        return Prepared(request.kind, amount, number, rnd, request.params)

    def issue(self, prepared: Prepared) -> str:
        """The 20 digits."""
        return sts.encode(prepared.token, self._cipher(prepared.params))

    def verify(self, params: KeyParams, digits: str) -> sts.StsToken:
        """Read a token of this meter back."""
        return sts.read(sts.unseal(digits, self._cipher(params)))

    def _cipher(self, params: KeyParams) -> _ModuleCipher:
        key = self._module.derive(self._dkga, self._ea, self._key_ref, params)
        return _ModuleCipher(self._module, key)


class _ModuleCipher:
    """A decoder key inside the module, as a cipher."""

    __slots__ = ("_key", "_module")

    def __init__(self, module: SecurityModule, key: KeyHandle) -> None:
        self._module = module
        self._key = key

    def encrypt(self, block: int) -> int:
        return self._module.encrypt(self._key, block)

    def decrypt(self, block: int) -> int:
        return self._module.decrypt(self._key, block)
