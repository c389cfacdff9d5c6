"""The kinds of tokens that are sold, behind one face: a meter's device, a wish, digits.

    device    what is kept of the meter: an identity, or a secret that is sealed here
    prepare   everything that is not deterministic, as a text that is kept before digits are made
    issue     the digits of that text; the same text gives the same digits

`number` is what orders a meter's tokens (a TID, a count, a counter): the last one is kept beside
the meter, and the next is above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeVar

import msgspec

from headend.prepayment.tokens import paygo, utrn
from headend.prepayment.tokens.vendor import Prepared, VendRequest
from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import amounts
from ohmesh.tokens.keys import KeyParams
from ohmesh.tokens.pan import MeterPan
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from headend.prepayment.tokens.vendor import TokenVendor
    from ohmesh.tokens.sts import StsToken

_T = TypeVar("_T")
STS: Final = "sts"
PAYGO: Final = "paygo"
UTRN: Final = "utrn"


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish: `last` and `last_at` are the number given to the meter before, and when."""

    kind: str
    units: int
    last: int | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Readied:
    """A token before its digits: its `number`, and the text that they are made of."""

    number: int
    content: str


class Vending(Protocol):
    """One kind of tokens. Errors: PrepaymentError."""

    def device(self, meter: str, content: Mapping[str, object]) -> str:
        """What is kept of a meter. Raises PrepaymentError(token_identity)."""

    def prepare(self, device: str, asked: Asked, now: datetime) -> Readied:
        """Take the next number."""

    def units(self, content: str) -> int:
        """What the meter will take, not below what was asked for."""

    def issue(self, content: str) -> str:
        """The digits."""


def _device(content: Mapping[str, object], kind: type[_T]) -> _T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise PrepaymentError("token_identity", str(error)) from error


def _named(kinds: Mapping[str, _T], name: str) -> _T:
    if name not in kinds:
        raise PrepaymentError(
            "token_kind", f"the meter takes no token {name[:40]!r}, only {', '.join(kinds)}"
        )
    return kinds[name]


def _text(content: object) -> str:
    return msgspec.json.encode(content).decode()


# -- STS ------------------------------------------------------------------------------------------


class _Sts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pan: str
    supply_group: str
    tariff_index: int = 1
    key_revision: int = 1
    base_year: int = 2014

    def params(self) -> KeyParams:
        pan = MeterPan.parse(self.pan)
        index, revision = self.tariff_index, self.key_revision
        return KeyParams(pan, self.supply_group, index, revision, base_year=self.base_year)


class _StsContent(msgspec.Struct, frozen=True):
    kind: str
    amount: tuple[int, int]
    tid: int
    rnd: int
    identity: _Sts

    def prepared(self) -> Prepared:
        amount = amounts.Amount(*self.amount)
        params = self.identity.params()
        return Prepared(TokenKind[self.kind], amount, self.tid, self.rnd, params)


_STS_KINDS: Final = {kind.name.lower(): kind for kind in TokenKind}


class StsVending:
    """STS-format tokens of a vendor."""

    def __init__(self, vendor: TokenVendor) -> None:
        self._vendor = vendor

    def device(self, meter: str, content: Mapping[str, object]) -> str:  # noqa: ARG002 - the PAN names it
        """The meter's identity."""
        identity = _device(content, _Sts)
        self._vendor.check(identity.params())
        return _text(identity)

    def prepare(self, device: str, asked: Asked, now: datetime) -> Readied:
        """Take the next TID and the random bits."""
        identity = msgspec.json.decode(device, type=_Sts)
        last = None
        if asked.last is not None and asked.last_at is not None:
            last = LastTid(asked.last, asked.last_at)
        kind = _named(_STS_KINDS, asked.kind)
        made = self._vendor.prepare(VendRequest(kind, asked.units, identity.params(), last), now)
        amount = (made.amount.exponent, made.amount.mantissa)
        content = _StsContent(made.kind.name, amount, made.tid, made.rnd, identity)
        return Readied(made.tid, _text(content))

    def units(self, content: str) -> int:
        """Rounded up to what a token can carry."""
        return _sts(content).units

    def issue(self, content: str) -> str:
        """20 digits."""
        return self._vendor.issue(_sts(content))

    def read(self, device: str, digits: str) -> tuple[StsToken, int]:
        """A token of the meter, and the base year of its TID."""
        params = msgspec.json.decode(device, type=_Sts).params()
        return self._vendor.verify(params, digits), params.base_year


def _sts(content: str) -> Prepared:
    return msgspec.json.decode(content, type=_StsContent).prepared()


# -- OpenPAYGO ------------------------------------------------------------------------------------

COUNT_MAX: Final = 20_000
"""A token at this count takes about 0.3 s; a device that is paid daily is there after 27 years."""


def secret_name(meter: str) -> str:
    """The name under which a device's secret is sealed."""
    return f"{meter}/paygo"


class _Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret_hex: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    starting_code: Annotated[int, msgspec.Meta(ge=1, le=999_999_999)] | None = None
    restricted: bool = False
    extended: bool = False
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)] = 1


class _Paygo(msgspec.Struct, frozen=True):
    meter: str
    secret: str
    starting_code: int | None
    restricted: bool
    extended: bool
    count: int


class _PaygoContent(msgspec.Struct, frozen=True):
    kind: str
    value: int | None
    count: int
    device: _Paygo


_PAYGO_KINDS: Final = {
    kind.name.lower(): kind
    for kind in paygo.PaygoType
    if kind not in {paygo.PaygoType.INVALID, paygo.PaygoType.ALREADY_USED}
}


class PaygoVending:
    """OpenPAYGO tokens: time for devices that know no clock and no line.

    Args:
        seal: (name, secret) -> what is kept; the same secret gives the same octets, so that a
            repeat is recognised.
        unseal: the inverse; raises ConfigError.
    """

    def __init__(
        self, seal: Callable[[str, bytes], bytes], unseal: Callable[[str, bytes], bytes]
    ) -> None:
        self._seal, self._unseal = seal, unseal

    def device(self, meter: str, content: Mapping[str, object]) -> str:
        """The device's secret, sealed, and its way of writing."""
        given = _device(content, _Secret)
        secret = self._seal(secret_name(meter), bytes.fromhex(given.secret_hex)).hex()
        code, count = given.starting_code, given.count
        return _text(_Paygo(meter, secret, code, given.restricted, given.extended, count))

    def prepare(self, device: str, asked: Asked, now: datetime) -> Readied:  # noqa: ARG002 - no clock
        """Take the next count."""
        kept = msgspec.json.decode(device, type=_Paygo)
        kind = _named(_PAYGO_KINDS, asked.kind)
        value = asked.units if kind in paygo.WITH_VALUE or asked.units else None
        count = max(kept.count, asked.last or 0)
        paygo.check(kind, value, extended=kept.extended)
        number = paygo.next_count(count, kind)
        if number > COUNT_MAX:
            raise PrepaymentError("token_count", f"the device has had its {COUNT_MAX} tokens")
        return Readied(number, _text(_PaygoContent(asked.kind, value, count, kept)))

    def units(self, content: str) -> int:
        """Days, or what the device counts."""
        return msgspec.json.decode(content, type=_PaygoContent).value or 0

    def issue(self, content: str) -> str:
        """9 to 20 digits, by the device."""
        made = msgspec.json.decode(content, type=_PaygoContent)
        kept = made.device
        secret = self._unseal(secret_name(kept.meter), bytes.fromhex(kept.secret)).hex()
        key = paygo.PaygoKey(secret, kept.starting_code, kept.restricted, kept.extended)
        return paygo.issue(key, made.count, _PAYGO_KINDS[made.kind], made.value).digits


# -- UTRN -----------------------------------------------------------------------------------------


class MacModule(Protocol):
    """Who holds the supplier's keys. Errors: PrepaymentError; `module_down` when it is away."""

    def check(self, device: str) -> None:
        """Raises PrepaymentError for a device that it does not serve."""

    def mac(self, device: str, counter: int, body: int) -> int:
        """32 bits over the whole originator counter and the token's upper 32 bits."""


class _Utrn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class _UtrnContent(msgspec.Struct, frozen=True):
    kind: str
    value: int
    counter: int
    device: str


_UTRN_KINDS: Final = {f"top_up_{one.name.lower()}": one for one in utrn.ValueClass}


class UtrnVending:
    """Numbers of GB smart meters: the layout; the supplier's MAC comes from a module."""

    def __init__(self, module: MacModule) -> None:
        self._module = module

    def device(self, meter: str, content: Mapping[str, object]) -> str:  # noqa: ARG002 - it has its own id
        """The device's EUI-64."""
        given = _device(content, _Utrn)
        self._module.check(given.device)
        return _text(given)

    def prepare(self, device: str, asked: Asked, now: datetime) -> Readied:  # noqa: ARG002 - a counter
        """Take the next originator counter."""
        kept = msgspec.json.decode(device, type=_Utrn)
        value_class = _named(_UTRN_KINDS, asked.kind)
        counter = (asked.last or 0) + 1
        if asked.units < 1:
            raise PrepaymentError("amount", f"{asked.units} units are no credit")
        utrn.TopUpToken(counter % utrn.COUNTERS, value_class, asked.units, 0)  # refuses too much
        return Readied(counter, _text(_UtrnContent(asked.kind, asked.units, counter, kept.device)))

    def units(self, content: str) -> int:
        """Pence or pounds, by kind."""
        return msgspec.json.decode(content, type=_UtrnContent).value

    def issue(self, content: str) -> str:
        """19 digits, before the check digit."""
        made = msgspec.json.decode(content, type=_UtrnContent)
        fields = made.counter % utrn.COUNTERS, _UTRN_KINDS[made.kind], made.value
        mac = self._module.mac(made.device, made.counter, utrn.TopUpToken(*fields, 0).body)
        return utrn.TopUpToken(*fields, mac).to_digits()


KINDS: Final = (*_STS_KINDS, *_PAYGO_KINDS, *_UTRN_KINDS)
"""Names of all kinds of tokens; none is of two vendors."""
