"""Europe: M-Bus on a wire and by radio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.mbus.link import START
from firmware_profiles.codecs.mbus.telegram import read_wired
from firmware_profiles.codecs.wmbus.telegram import read_radio
from firmware_profiles.eu_mbus.channels import Channels
from firmware_profiles.eu_mbus.encode import frame_of
from firmware_profiles.eu_mbus.readings import Collector
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.codecs.mbus.telegram import Telegram

_PAYLOAD_BYTES_MAX = 4096
_SECOND_START = 3


def _is_wired(payload: bytes) -> bool:
    """A long frame has 68 first and fourth; a radio frame has its maker's code there."""
    return payload[:1] == payload[_SECOND_START : _SECOND_START + 1] == bytes([START])


def _refuse_replay(telegram: Telegram, floor: int | None) -> None:
    if floor is not None and telegram.counter is not None and telegram.counter <= floor:
        raise DecodeError(
            DecodeErrorKind.REPLAY, f"counter {telegram.counter} is not above {floor}"
        )


class EuMbus(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def __init__(self) -> None:
        super().__init__("firmware_profiles.eu_mbus")
        self._channels = Channels(self.spec.registers)

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode a wired long frame, or radio frames with or without block checks.

        Args:
            payload: the frame.
            keys: the meter's AES-128 key in `unicast`.
            verify: False accepts wrong checks.

        Raises:
            DecodeError: the only error.
        """
        if len(payload) > _PAYLOAD_BYTES_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, f"{len(payload)} bytes in a telegram")
        key = keys.unicast if keys else None
        if _is_wired(payload):
            telegrams = [read_wired(payload, key=key, verify=verify)]
        else:
            telegrams = read_radio(payload, key=key, verify=verify)
        collector = Collector(self._channels, self.zone)
        for telegram in telegrams:
            _refuse_replay(telegram, keys.counter_floor if keys else None)
            collector.add(telegram)
        return collector.decoded()

    def encode(self, report: Report) -> bytes:
        """The wired answer of a simulated meter. Raises ProfileError."""
        return frame_of(report, self.spec, self.zone)


def profile() -> EuMbus:
    """The entry point."""
    return EuMbus()
