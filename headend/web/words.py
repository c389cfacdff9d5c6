"""What the store calls by a code, in words for people: states, kinds, events, supplies.

Every word is a text of the catalogues, translated where it is shown. A code that is not known (a
meter names its events itself) is shown as it is, without its underscores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.web.speech import mark

if TYPE_CHECKING:
    from gettext import NullTranslations

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
_WORDS: Final = {
    "queued": mark("queued"),
    "sent": mark("sent"),
    "in_field": mark("in the field"),
    "done": mark("done"),
    "failed": mark("failed"),
    "expired": mark("expired"),
    "cancelled": mark("cancelled"),
    "relay_read": mark("read the relay"),
    "relay_off": mark("switch off"),
    "relay_on": mark("switch on"),
    "read_now": mark("read now"),
    "clock_set": mark("set the clock"),
    "load_profile_read": mark("read stored intervals"),
    "tariff_set": mark("set the tariff"),
    "token_enter": mark("enter a token"),
    "key_change": mark("change the key"),
    "firmware": mark("load firmware"),
    "connected": mark("on"),
    "disconnected": mark("off"),
    "ready_for_reconnection": mark("ready"),
    "unknown": mark("unknown"),
    "online": mark("online"),
    "offline": mark("offline"),
    "open": mark("open"),
    "acknowledged": mark("somebody is at it"),
    "closed": mark("closed"),
    "viewer": mark("viewer"),
    "operator": mark("operator"),
    "vending_clerk": mark("vending clerk"),
    "engineer": mark("engineer"),
    "admin": mark("administrator"),
    "auditor": mark("auditor"),
    "topup": mark("top-up"),
    "energy": mark("energy"),
    "reversal": mark("reversal"),
    "adjust": mark("adjustment"),
    "debt_share": mark("debt repaid"),
    "acc_debt": mark("debt taken up"),
    "fixed": mark("standing charge"),
    "tax": mark("tax"),
    "subsidy": mark("subsidy"),
    "time_debt": mark("debt of the day"),
    "rerate": mark("charged anew"),
    "token": mark("token"),
    "token_reserve": mark("token reserved"),
    "token_void": mark("token voided"),
    "writeoff": mark("written off"),
    "gap": mark("gap"),
    "clock": mark("clock"),
    "negative": mark("backwards"),
    "spike": mark("spike"),
    "high": mark("high"),
    "low": mark("low"),
    "zero_run": mark("zeros"),
    "sum": mark("sum"),
    "phase": mark("phases"),
    "unit": mark("unit"),
    "size": mark("interval"),
    "unknown_meter": mark("meter not registered"),
    "seal": mark("seal not valid"),
    "key": mark("key cannot be used"),
    "profile": mark("profile cannot read it"),
    "event": mark("event not understood"),
    "decode:truncated": mark("telegram is cut off"),
    "decode:checksum": mark("checksum is wrong"),
    "decode:malformed": mark("telegram is damaged"),
    "decode:unsupported": mark("telegram of an unknown kind"),
    "decode:budget": mark("telegram takes too long to read"),
    "decode:key": mark("telegram cannot be deciphered"),
    "decode:replay": mark("telegram came before"),
    "usage_while_off": mark("usage while off"),
    "cover_opened": mark("cover opened"),
    "magnet": mark("magnet at the meter"),
    "last_gasp": mark("last gasp: supply is lost"),
    "power_lost": mark("supply is lost"),
    "power_restored": mark("supply is back"),
    "alarm.outage": mark("alarm: outage"),
    "alarm.closed": mark("alarm is over"),
    "alarm.usage_while_off": mark("alarm: usage while off"),
    "alarm.relay_unexpected": mark("alarm: relay in another position than decided"),
    "alarm.relay_bypass": mark("alarm: relay is bypassed"),
    "alarm.reconnect_late": mark("alarm: supply comes back late"),
    "alarm.reconnect_breach": mark("alarm: supply is not back in time"),
    "gate.approved": mark("release gate: two people approved"),
    "gate.quarantined": mark("release gate: disconnection is held"),
    "gate.breaker_opened": mark("release gate: all cuts are stopped"),
    "gate.breaker_closed": mark("release gate: cuts are possible again"),
}
PROBLEMS: Final = (
    mark("There is nothing here"),
    mark("Check the id: what belongs to somebody else looks as absent as what does not exist."),
    mark("Not for you, or not from here"),
    mark(
        "If a permission is missing, sign in as somebody who has it, or ask an administrator; in "
        "an answer of the API `code` names it. Otherwise call the server by the address it listens "
        "on, and write from its own pages only."
    ),
    mark("The request has values that are not allowed"),
    mark("`errors` names each field by a JSON pointer and says what it may be."),
    mark("This address does not take that method"),
    mark("The header Allow says which it takes; /docs lists every operation."),
    mark("It is there already, with other content"),
    mark("The rules refuse this"),
    mark("`code` names the rule; `detail` says what would be accepted."),
    mark("A second person must approve this"),
    mark("Too many requests"),
    mark(
        "Wait as many seconds as Retry-After says. Each key, session and address has its own share."
    ),
    mark("The server has failed"),
    mark("Nothing can be done from outside; the server's log has the reason."),
    mark("The database does not answer"),
    mark("Try again after the time in Retry-After; a write with the same Idempotency-Key is safe."),
    mark("The question takes too long to answer"),
    mark("Ask for a shorter range or fewer channels."),
    mark("The request cannot be read"),
    mark("Send a JSON object with the content type application/json."),
    mark("A token is needed"),
    mark(
        "Send the header Authorization: Bearer TOKEN with an API key, or sign in at /login. The "
        "first key is in the file that api.token_file of the head-end's configuration names."
    ),
    mark(
        "An Idempotency-Key or a name was used before with another content. Nothing was changed; "
        "use a new key for a new wish."
    ),
    mark(
        "`code` is the approval's id. Somebody else with the permission `approve` decides at "
        "POST /v1/approvals/{id}; then send the same request again. Nothing was changed."
    ),
    mark("The request's body is too large"),
    mark("A body may have at most 1 MiB; send several requests."),
    mark("A file of this kind is not taken here"),
    mark("Name the file's kind in Content-Type: text/csv or application/vnd.apache.parquet."),
    mark("It has been changed meanwhile"),
    mark(
        "If-Match names an older version. Read it again, decide, and send the ETag that it has now."
    ),
    mark("The request's body comes too slowly"),
    mark("Send the whole body within 30 s."),
    mark("The cursor does not belong to this list"),
    mark(
        "Use `next` of an answer as it came, with the same filters, or start again without a "
        "cursor."
    ),
    mark("The OpenID provider does not do its part"),
    mark(
        "Try again; if it stays so, the provider's operator or [oidc] of the configuration "
        "must help."
    ),
)
"""What `headend.api.problems` says, for the catalogues."""
_PREFIXES: Final = {"supply.": mark("supply: %(why)s"), "alarm.": mark("alarm: %(why)s")}
OFF: Final = ("disconnected", "ready_for_reconnection")


@dataclass(frozen=True, slots=True)
class Supply:
    """What to show: a word, a tone (good, warn, bad) and a sentence with a place for `why`.

    Word and sentence are texts of the catalogues, translated where they are shown.
    """

    word: str
    tone: str
    sentence: str


def word(name: str, texts: NullTranslations) -> str:
    """A code in words of a language."""
    if name in _WORDS:
        return texts.gettext(_WORDS[name])
    for prefix, sentence in _PREFIXES.items():
        if name.startswith(prefix):
            why = texts.gettext(reason(name.removeprefix(prefix)))
            return texts.gettext(sentence) % {"why": why}
    return name.replace("_", " ").replace(".", ": ")


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
