"""Great Britain: SMETS2 device messages as the DCC delivers them, headers and unnamed values.

What a value in a response means is said by the use case of the request, which travels apart; so
this profile gives values as texts in their order, and no readings. It checks no MAC: that needs
the elliptic-curve keys of device and party. A simulated meter is not offered for the same reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs import gbcs
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError

if TYPE_CHECKING:
    from firmware_profiles.api import Keys, Report

_FROM_DEVICE = (gbcs.CraFlag.RESPONSE, gbcs.CraFlag.ALERT)


class GbSmets(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode the headers of one message; its MAC is not checked. Raises DecodeError."""
        del verify
        message = gbcs.decode(payload)
        floor = keys.counter_floor if keys else None
        if floor is not None and message.counter <= floor:
            raise DecodeError(DecodeErrorKind.REPLAY, f"counter {message.counter} after {floor}")
        device = message.originator if message.kind in _FROM_DEVICE else message.recipient
        texts = {
            "cra_flag": f"{message.kind:02X}",
            "message_code": f"{message.code:04X}",
            "originator": message.originator.hex(),
            "recipient": message.recipient.hex(),
            "mac": message.mac.hex(),
            "payload": message.payload.hex(),
        }
        if message.payload[:1] == bytes((gbcs.ACCESS_RESPONSE,)):
            values, results = gbcs.access_values(message.payload)
            texts |= {f"data[{n}]": str(value) for n, value in enumerate(values)}
            texts |= {f"error[{n}]": str(code) for n, code in enumerate(results) if code}
        return Decoded({"id": device.hex()}, (), None, texts, message.counter)

    def encode(self, report: Report) -> bytes:
        """Always raises ProfileError: see above."""
        raise ProfileError(f"gb_smets cannot send for {report.meter}: a message needs its MAC keys")


def profile() -> GbSmets:
    """The entry point."""
    return GbSmets("firmware_profiles.gb_smets")
