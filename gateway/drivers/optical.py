"""Meters that are asked for a readout: IEC 62056-21, modes A, B and C, at an optical head.

    /?device! CR LF              at 300 baud, 7E1
    /XXXZident CR LF             the meter: Z is the speed that it offers
    06 0 Z 0 CR LF               mode C: yes, a readout at that speed
    STX data ! CR LF ETX BCC     at the new speed; modes A and B send it without being told

The telegram is identification and readout as they came. What is pushed unasked (mode D) is heard
by `gateway.drivers.listen`.

Source: IEC 62056-21, clause 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.drivers.framing import BYTES_MAX, block_fits, readout_length
from gateway.drivers.source import Answer
from ohmesh.model.errors import DriverTransient

if TYPE_CHECKING:
    from gateway.drivers.line import Line

_SIGN_ON_BAUD = 300
_MODE = "7E1"
_REACTION_S = 3.0
"""The meter answers within 1.5 s."""
_SPEEDS = {str(index): 300 * 2**index for index in range(7)}
_SPEEDS_B = {letter: 600 * 2**index for index, letter in enumerate("ABCDEF")}
_IDENTIFICATION_BYTES_MIN = 7


class OpticalMeter:
    """One meter at one head."""

    def __init__(
        self, *, device: str, meter: str, profile: str, baud: int, readout_s: float
    ) -> None:
        """Describe the meter.

        Args:
            device: its device address, empty for the only one at the head.
            meter: its address at this gateway.
            profile: that decodes it.
            baud: highest speed that the head bears; on a TCP line the speed of its device server.
            readout_s: for a whole readout; a meter at 300 baud takes a minute.
        """
        self._device = device
        self._meter = meter
        self._profile = profile
        self._baud = baud
        self._readout_s = readout_s

    async def ask(self, line: Line, _: int) -> Answer:
        """Read the meter. Raises TimeoutError, DriverTransient."""
        identification = await self._sign_on(line)
        echo = await self._switch(line, identification)
        readout = await line.ask(
            b"",
            lambda heard: _whole(identification, heard, echo),
            timeout_s=self._readout_s,
            bytes_max=BYTES_MAX,
        )
        telegram = identification + readout.removeprefix(echo)
        if not block_fits(telegram):
            raise DriverTransient("a block check that does not fit")
        return Answer(self._meter, self._profile, (telegram,))

    async def _sign_on(self, line: Line) -> bytes:
        line.set_speed(_SIGN_ON_BAUD, _MODE)
        request = b"/?%b!\r\n" % self._device.encode()
        answer = await line.ask(request, identification_length, timeout_s=_REACTION_S, echo=True)
        return answer[answer.rindex(b"/") :]

    async def _switch(self, line: Line, identification: bytes) -> bytes:
        """Agree on the speed that the meter offers, or the highest that the head bears.

        Returns:
            What was sent: the head may give it back before the readout.
        """
        offered = chr(identification[4] & 0x7F)
        if offered in _SPEEDS_B:
            line.set_speed(_SPEEDS_B[offered], _MODE)
        if offered in _SPEEDS:
            speeds = [code for code, baud in _SPEEDS.items() if baud <= self._baud]
            code = min(offered, speeds[-1])
            acknowledgement = b"\x060%b0\r\n" % code.encode()
            await line.write(acknowledgement)
            await line.sent(len(acknowledgement))
            line.set_speed(_SPEEDS[code], _MODE)
            return acknowledgement
        return b""


def identification_length(heard: bytes) -> int | None:
    """Up to the end of the identification line, None while it is not whole."""
    start = heard.rfind(b"/")
    end = heard.find(b"\n", start)
    whole = start >= 0 and end - start >= _IDENTIFICATION_BYTES_MIN - 1
    return end + 1 if whole and heard[start + 1 : start + 2] != b"?" else None


def _whole(identification: bytes, heard: bytes, echo: bytes) -> int | None:
    length = readout_length(identification + heard.removeprefix(echo))
    skipped = len(echo) if heard.startswith(echo) else 0
    return None if length is None else length - len(identification) + skipped
