"""The signature of a webhook, by the Standard Webhooks specification (v1, HMAC-SHA-256). Pure.

Signed: `{id}.{timestamp}.{body}`; the secret is shown once as `whsec_` and base64. A receiver
refuses a timestamp that is too old, and knows a repeated delivery by its id.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def shown(secret: bytes) -> str:
    """A secret as its owner is given it."""
    return PREFIX + b64encode(secret).decode()


def headers(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of one delivery."""
    text = f"{message_id}.{timestamp_s}.".encode() + body
    signature = b64encode(hmac.digest(secret, text, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{signature}",
    }
