"""What a write through the API is about, in words for its line in the audit log. Pure.

Of the body only fields that name a thing, an amount or a choice are told: never a key, a password
or what people write freely.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

LENGTH_MAX: Final = 300
_VALUE_MAX: Final = 80
TOLD: Final = (
    *("meter", "gateway", "account", "contract", "service_point", "user", "group", "payment"),
    *("kind", "argument", "channel", "period_from", "period_to", "tariff", "profile", "area"),
    *("amount_mu", "amount_minor", "currency", "units", "price_mu_per_kwh"),
    *("role", "scopes", "disabled", "approved", "until", "at", "old_close", "new_open"),
)


def about(body: bytes) -> str:
    """The telling fields of a JSON object, such as `meter M1, kind relay_off`; empty if none."""
    try:
        fields = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    said = (f"{name} {_text(fields[name])}" for name in TOLD if fields.get(name) is not None)
    return ", ".join(said)[:LENGTH_MAX]


def _text(value: Any) -> str:
    """A value that can stand in a log: short, and nothing that a terminal would obey."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text if text.isprintable() else ascii(text))[:_VALUE_MAX]
