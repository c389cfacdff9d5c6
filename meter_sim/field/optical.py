"""A meter that is asked for its readout: IEC 62056-21, mode C, deaf at a wrong speed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUEST = re.compile(rb"/\?([^!]*)!\r\n\Z")
_ACKNOWLEDGEMENT = re.compile(rb"\x060([0-6])0\r\n\Z")
_SIGN_ON_BAUD = 300
_BYTES_MAX = 256


class OpticalResponder:
    """The meter's side of the sign-on."""

    period_s: float | None = None

    def __init__(
        self, telegram: Callable[[], bytes], *, device: str = "", echo: bool = False
    ) -> None:
        """Args: telegram: a whole checked readout. echo: send back what comes, as heads do."""
        self._telegram = telegram
        self._device = device.encode()
        self._echo = echo
        self._heard = b""
        self._readout: bytes | None = None
        self.switched: list[int | None] = []
        """Speeds at which readouts were given."""

    def receive(self, octets: bytes, baud: int | None) -> bytes:
        """Answer a sign-on with the identification, an acknowledgement with the readout."""
        if baud not in {None, _SIGN_ON_BAUD}:
            self._heard = b""
            return octets if self._echo else b""
        self._heard = (self._heard + octets)[-_BYTES_MAX:]
        echo = octets if self._echo else b""
        if (asked := _REQUEST.search(self._heard)) and asked[1] in {b"", self._device}:
            self._heard = b""
            identification, self._readout = self._split()
            return echo + identification
        agreed = _ACKNOWLEDGEMENT.search(self._heard)
        if agreed and self._readout is not None:
            self._heard = b""
            self.switched.append(_SIGN_ON_BAUD << int(agreed[1]))
            self.period_s = _REACTION_S
        return echo

    def speak(self) -> bytes:
        """The readout, a reaction time after the acknowledgement."""
        self.period_s = None
        readout, self._readout = self._readout, None
        return readout or b""

    def _split(self) -> tuple[bytes, bytes]:
        telegram = self._telegram()
        end = telegram.index(b"\n") + 1
        return telegram[:end], telegram[end:]


_REACTION_S = 0.3
"""The standard allows 0.2 to 1.5 s."""
