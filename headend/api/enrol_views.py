"""What enrolment answers."""

from __future__ import annotations

from typing import Final

from headend.api.views import Instant, View


class EnrolmentToken(View, frozen=True):
    """A token for one gateway, shown here and never again; it works once, for a day."""

    gateway: str
    token: str
    expires_at: Instant


class GatewayIdentity(View, frozen=True):
    """A gateway's certificate, in PEM; whom it shall trust: the broker's authority, the gates."""

    gateway: str
    certificate: str
    broker_authority: str
    gate_keys: list[str]


class Certificate(View, frozen=True):
    """A certificate that was issued; `serial` in hex digits."""

    serial: str
    gateway: str
    not_before: Instant
    not_after: Instant
    revoked_at: Instant | None


PAGED: Final = (Certificate,)
KINDS: Final = (*PAGED, EnrolmentToken, GatewayIdentity)
