"""What a contract agreed to, as data: a JSON object on the account.

    {"pack": "gb-example", "low_mu": 200000, "emergency_limit_mu": 500000, "notice_minutes": 30}

Without a `pack` nobody is cut: an absent rule is not a permission. "No restriction" is a pack like
any other and has to be named (`unrestricted-demo`).
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from headend.prepayment.contract import Policy
from headend.prepayment.rules import RulePack, load_pack, pack_names
from ohmesh.model.errors import ConfigError, PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING_PERMITTED: Final = RulePack(title="no rules")
_Amount = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class PaymentShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each top-up pays of an old debt: a share in 1/100 %, at most `cap_mu` a local week."""

    share_bp: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    cap_mu: _Natural


class TimeShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is taken of an accumulated debt once a local day."""

    rate_mu: _Natural
    in_emergency: bool = False


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The terms of one contract; money in mu.

    Attributes:
        pack: rule pack that says when cutting is permitted; None: never.
        notice_minutes: between the accepted notice of an empty wallet and a cut; None: no notice
            is needed, and that is written.
        stale_after_s: with actual readings older than this nobody is cut.
    """

    pack: str | None = None
    low_mu: _Amount = 0
    disablement_mu: _Amount = 0
    reconnect_mu: _Amount = 0
    emergency_limit_mu: _Natural = 0
    emergency_auto: bool = False
    notice_minutes: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = 30
    stale_after_s: Annotated[int, msgspec.Meta(ge=60, le=366 * 86_400)] = 86_400
    grace_days: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 30
    takes_tokens: bool = False
    topup_max_mu: _Natural = 2**53
    payment_debt: PaymentShare | None = None
    time_debt: TimeShare | None = None

    def __post_init__(self) -> None:
        if self.reconnect_mu < self.disablement_mu:
            raise ValueError("reconnect_mu is below disablement_mu")
        if self.pack is not None and self.pack not in pack_names():
            raise ValueError(
                f"there is no rule pack {self.pack!r}; known: {', '.join(pack_names())}"
            )


def check_terms(content: Mapping[str, Any]) -> Terms:
    """Terms from JSON values. Raises PrepaymentError(code="terms") with what is wrong."""
    try:
        return msgspec.convert(content, Terms)
    except msgspec.ValidationError as error:
        raise PrepaymentError("terms", f"terms: {error}") from error


def encode_terms(terms: Terms) -> str:
    """Terms as the store keeps them."""
    return msgspec.json.encode(terms, order="sorted").decode()


@lru_cache(maxsize=4096)
def parse_terms(text: str) -> Terms:
    """Terms as the store keeps them. Raises ConfigError."""
    try:
        return msgspec.json.decode(text, type=Terms)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the terms of a contract: {error}") from error


@lru_cache(maxsize=65_536)
def policy(contract: str, text: str, zone: str) -> Policy:
    """The policy of a contract from its stored terms and its service point's time zone.

    Raises: ConfigError.
    """
    terms = parse_terms(text)
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"{zone!r} is no time zone") from error
    return Policy(
        contract=contract,
        pack=NOTHING_PERMITTED if terms.pack is None else load_pack(terms.pack),
        zone=place,
        low_mu=terms.low_mu,
        disablement_mu=terms.disablement_mu,
        reconnect_mu=terms.reconnect_mu,
        emergency_limit_mu=terms.emergency_limit_mu,
        emergency_auto=terms.emergency_auto,
        notice_minutes=terms.notice_minutes,
        stale_after=timedelta(seconds=terms.stale_after_s),
        grace_days=terms.grace_days,
        takes_tokens=terms.takes_tokens,
    )
