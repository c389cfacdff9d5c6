"""The signature of a webhook, by the Standard Webhooks specification (v1, HMAC-SHA-256). Pure.

Signed: `{id}.{timestamp}.{body}`; the secret is shown once as `whsec_` and base64. A receiver
refuses a timestamp that is too old, and knows a repeated delivery by its id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from typing import Final

from ohmesh.model.errors import PrepaymentError

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
TOLERANCE_S: Final = 300


def shown(secret: bytes) -> str:
    """A secret as its owner is given it."""
    return PREFIX + b64encode(secret).decode()


def secret_of(text: str) -> bytes:
    """A secret as it was shown; the inverse of `shown`."""
    return b64decode(text.removeprefix(PREFIX))


def check(
    secret: bytes, message_id: str, timestamp: str, signatures: str, body: bytes, *, now_s: int
) -> None:
    """Judge a message that came: signed by the secret, and no older or newer than TOLERANCE_S.

    Raises: PrepaymentError: `signature`, `signature_late`.
    """
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise PrepaymentError("signature", "webhook-timestamp is not in seconds since 1970")
    wanted = headers(secret, message_id, int(timestamp), body)["webhook-signature"].encode()
    if not any(hmac.compare_digest(one.encode(), wanted) for one in signatures.split(" ")[:10]):
        raise PrepaymentError("signature", "the signature is not this channel's over this message")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise PrepaymentError("signature_late", f"it was signed over {TOLERANCE_S} s from now")


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
