"""The state of a supply in words that a customer can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headend.api.views import Account

_REASONS: Final = {
    "opened": "the account was opened and nothing has changed since",
    "credit_exhausted": "the credit is used up",
    "credit_restored": "there is credit again",
    "relay_differs": "the relay was found in another position than decided",
}
OFF: Final = ("disconnected", "ready_for_reconnection")


@dataclass(frozen=True, slots=True)
class Supply:
    """What to show: a word, a tone (good, warn, bad) and a sentence."""

    word: str
    tone: str
    sentence: str


def reason(name: str) -> str:
    """A reason in words; one that is not known is shown as it is."""
    return _REASONS.get(name, name.replace("_", " "))


def supply(account: Account) -> Supply:
    """The state of an account's supply, from what is decided and what was read back."""
    why = reason(account.reason)
    word, tone, sentence = _STATES[account.supply_wanted in OFF].get(
        account.supply_actual or "", _UNREAD
    )
    return Supply(word, tone, sentence.format(why=why))


_UNREAD: Final = ("not read yet", "warn", "The relay has not been read back yet.")
_UNKNOWN: Final = ("unknown", "warn", "The meter does not know the state of its relay.")
_COMING: Final = (
    "coming back",
    "warn",
    "Being restored because {why}; the relay is not back yet.",
)
_CUT: Final = ("cut off", "bad", "Cut off because {why}. A top-up ends it.")
_STATES: Final = {
    True: {
        "connected": (
            "being cut",
            "warn",
            "Being cut off because {why}; the relay is still on.",
        ),
        "disconnected": _CUT,
        "ready_for_reconnection": _CUT,
        "unknown": _UNKNOWN,
    },
    False: {
        "connected": ("on", "good", "Supply is on: {why}."),
        "disconnected": _COMING,
        "ready_for_reconnection": (
            "ready",
            "warn",
            "The meter is ready: the customer switches the supply on at the meter.",
        ),
        "unknown": _UNKNOWN,
    },
}
"""(whether off is wanted) -> relay read back -> word, tone, sentence."""
