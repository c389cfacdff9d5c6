"""M-Bus meters on one line: primary addresses, selection, and answers of the profile `eu_mbus`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.link import write_long_frame
from meter_sim.field.reports import report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firmware_profiles.api import Profile

_ACK = b"\xe5"
_SHORT, _LONG, _STOP = 0x10, 0x68, 0x16
_SND_NKE, _REQ_UD2, _SND_UD = 0x40, 0x5B, 0x53
_FCB = 0x20
_NETWORK_LAYER, _SELECT = 0xFD, 0x52
_RSP_UD = 0x08
_SHORT_BYTES = 5


class MbusResponder:
    """The meters of one line."""

    period_s: float | None = None

    def __init__(
        self,
        profile: Profile,
        meters: Mapping[int, str],
        *,
        clock_ms: Callable[[], int],
        seed: int = 1,
    ) -> None:
        """Args: meters: primary address -> id of eight digits, the secondary address."""
        self._profile = profile
        self._meters = dict(meters)
        self._clock_ms = clock_ms
        self._seed = seed
        self._selected: int | None = None
        self._heard = b""

    def speak(self) -> bytes:
        """An M-Bus meter never does."""
        return b""

    def receive(self, octets: bytes, baud: int | None) -> bytes:  # noqa: ARG002 - any speed
        """Answer every whole request."""
        self._heard += octets
        answers = b""
        while frame := self._next_frame():
            answers += self._answer(frame)
        return answers

    def _next_frame(self) -> bytes:
        while self._heard:
            length = _SHORT_BYTES if self._heard[0] == _SHORT else 0
            if self._heard[0] == _LONG and len(self._heard) > 1:
                length = self._heard[1] + 6
            if length and len(self._heard) < length:
                return b""
            frame, self._heard = self._heard[: length or 1], self._heard[length or 1 :]
            if length and frame[-1] == _STOP:
                return frame
        return b""

    def _answer(self, frame: bytes) -> bytes:
        if frame[0] == _LONG:
            return self._select(frame[4:-2])
        control, address = frame[1] & ~_FCB, frame[2]
        target = self._selected if address == _NETWORK_LAYER else address
        if control == _SND_NKE:
            self._selected = None
            return _ACK if address in self._meters else b""
        if control == _REQ_UD2 & ~_FCB and target in self._meters:
            return self._data(target)
        return b""

    def _select(self, body: bytes) -> bytes:
        if body[:3] != bytes((_SND_UD, _NETWORK_LAYER, _SELECT)):
            return b""
        number = body[3:7][::-1].hex()
        found = [address for address, meter in self._meters.items() if meter == number]
        self._selected = found[0] if found else None
        return _ACK if found else b""

    def _data(self, address: int) -> bytes:
        meter = self._meters[address]
        report = report_of(self._profile, meter, self._clock_ms(), seed=self._seed)
        return write_long_frame(_RSP_UD, address, self._profile.encode(report)[6:-2])
