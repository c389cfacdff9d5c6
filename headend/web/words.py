"""The state of a supply in words that a customer can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.api.views import Account

_REASONS: Final = {
    "opened": mark("the account was opened and nothing has changed since"),
    "credit_exhausted": mark("the credit is used up"),
    "credit_restored": mark("there is credit again"),
    "relay_differs": mark("the relay was found in another position than decided"),
    "breaker_open": mark("too many would have been cut at once"),
    "cut_limit": mark("the limit of cuts is reached"),
    "minimum_debt": mark("the debt is too small to cut for"),
    "no_rules": mark("no rules are known that permit a cut"),
    "stale_data": mark("no actual readings have come lately"),
    "weekend_or_holiday": mark("weekend or holiday"),
    "weekend": mark("weekend"),
    "holiday": mark("holiday"),
    "medical_dependency": mark("somebody depends on it for their health"),
}
OFF: Final = ("disconnected", "ready_for_reconnection")


@dataclass(frozen=True, slots=True)
class Supply:
    """What to show: a word, a tone (good, warn, bad) and a sentence with a place for `why`.

    Word and sentence are texts of the catalogues, translated where they are shown.
    """

    word: str
    tone: str
    sentence: str


def reason(name: str) -> str:
    """A reason in words; one that is not known is shown as it is."""
    return _REASONS.get(name, name.replace("_", " "))


def supply(account: Account) -> Supply:
    """The state of an account's supply, from what is decided and what was read back."""
    word, tone, sentence = _STATES[account.supply_wanted in OFF].get(
        account.supply_actual or "", _UNREAD
    )
    return Supply(word, tone, sentence)


_UNREAD: Final = (mark("not read yet"), "warn", mark("The relay has not been read back yet."))
_UNKNOWN: Final = (mark("unknown"), "warn", mark("The meter does not know the state of its relay."))
_COMING: Final = (
    mark("coming back"),
    "warn",
    mark("Being restored because %(why)s; the relay is not back yet."),
)
_CUT: Final = (mark("cut off"), "bad", mark("Cut off because %(why)s. A top-up ends it."))
_STATES: Final = {
    True: {
        "connected": (
            mark("being cut"),
            "warn",
            mark("Being cut off because %(why)s; the relay is still on."),
        ),
        "disconnected": _CUT,
        "ready_for_reconnection": _CUT,
        "unknown": _UNKNOWN,
    },
    False: {
        "connected": (mark("on"), "good", mark("Supply is on: %(why)s.")),
        "disconnected": _COMING,
        "ready_for_reconnection": (
            mark("ready"),
            "warn",
            mark("The meter is ready: the customer switches the supply on at the meter."),
        ),
        "unknown": _UNKNOWN,
    },
}
"""(whether off is wanted) -> relay read back -> word, tone, sentence."""
