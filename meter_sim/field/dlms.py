"""A DLMS meter that is asked, over HDLC or over the wrapper of TCP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from firmware_profiles.codecs.dlms.device import build_device
from firmware_profiles.codecs.dlms.link import ServerLink, address
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from firmware_profiles.codecs.dlms.transport import WRAPPER_VERSION, wrapper
from meter_sim.field.reports import registers_of
from meter_sim.registers import read_out
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import Profile

_LOGICAL_DEVICE = 1
_WRAPPER_BYTES = 8
_VALUES = {"el.energy.import", "el.energy.export", "el.power.import", "el.power.export"}
_FLAG = 0x7E
_DAY_MS = 86_400_000


class DlmsResponder:
    """One meter at one connection."""

    period_s: float | None = None

    def __init__(
        self,
        profile: Profile,
        meter: str,
        *,
        clock_ms: Callable[[], int],
        seed: int = 1,
        password: str = "",
        hdlc: bool = True,
    ) -> None:
        """Args: password: of the low-level security; empty: only what anybody may read.

        Its load profile holds the last day when it begins, and goes on from there.
        """
        self._profile, self._meter, self._seed = profile, meter, seed
        self._clock_ms = clock_ms
        self._hdlc = hdlc
        self._heard = b""
        device = build_device(
            profile.spec,
            meter=meter,
            zone=ZoneInfo(profile.spec.zone),
            value=self._value,
            counter=lambda: 0,
        )
        self._load_profile = device.profile
        self._interval_ms = profile.spec.interval_s * 1000
        self._captured_ms = clock_ms() - _DAY_MS
        self._server = Server(device.objects, ServerSettings(password=password.encode()))
        self._link = ServerLink(address(_LOGICAL_DEVICE), self._apdu, self._server.disconnected)

    def speak(self) -> bytes:
        """It is asked."""
        return b""

    def receive(self, octets: bytes, baud: int | None) -> bytes:  # noqa: ARG002 - any speed
        """Answer every whole frame or wrapped APDU."""
        self._heard += octets
        return self._receive_frames() if self._hdlc else self._receive_wrapped()

    def _receive_frames(self) -> bytes:
        answers = b""
        while len(self._heard) >= 3:
            end = (int.from_bytes(self._heard[1:3], "big") & 0x7FF) + 2
            if self._heard[0] != _FLAG:
                self._heard = self._heard[1:]
                continue
            if len(self._heard) < end:
                break
            frame, self._heard = self._heard[:end], self._heard[end:]
            answers += self._link.receive(frame)
        return answers

    def _receive_wrapped(self) -> bytes:
        answers = b""
        while self._heard.startswith(WRAPPER_VERSION) and len(self._heard) >= _WRAPPER_BYTES:
            end = _WRAPPER_BYTES + int.from_bytes(self._heard[6:8], "big")
            if len(self._heard) < end:
                break
            client = int.from_bytes(self._heard[2:4], "big")
            apdu, self._heard = self._heard[_WRAPPER_BYTES:end], self._heard[end:]
            reply = self._apdu(apdu)
            answers += wrapper(reply, source=_LOGICAL_DEVICE, destination=client)
        return answers

    def _apdu(self, apdu: bytes) -> bytes:
        self._capture()
        return self._server.receive(apdu, self._now())

    def _capture(self) -> None:
        """The rows of the intervals that have ended."""
        now_ms = self._clock_ms()
        while (
            end_ms := (self._captured_ms // self._interval_ms + 1) * self._interval_ms
        ) <= now_ms:
            self._load_profile.capture(datetime.fromtimestamp(end_ms / 1000, UTC))
            self._captured_ms = end_ms

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock_ms() / 1000, UTC)

    def _value(self, channel: str, now: datetime) -> int:
        register = self._profile.spec.registers.get(channel)
        if register is None:
            raise ConfigError(f"{self._profile.spec.name} has no {channel}")
        if channel not in _VALUES:
            return 0
        registers = registers_of(self._meter, int(now.timestamp() * 1000), seed=self._seed)
        return read_out(registers, register)
