"""Japan: low-voltage smart electric energy meter (class 0288) on the B-route.

Energies are counts; what a count is worth stand in E1 (unit) and D3 (coefficient). A frame that
says both gives Wh. From a frame that does not, the counts are kept as `raw.<EPC>`: a guessed factor
would be a wrong bill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.base import BaseProfile, integer_at
from firmware_profiles.codecs import echonet
from firmware_profiles.jp_broute.properties import COUNT_MAX, EXPONENTS, METER_CLASS, read
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from datetime import datetime

    from firmware_profiles.api import Decoded, Keys, Report
    from ohmesh.model.reading import Reading

_METER = METER_CLASS + b"\x01"
_CONTROLLER = bytes.fromhex("05FF01")
_SERIAL_BYTES = 12
_FIXED_TIME = {"el.energy.import": 0xEA, "el.energy.export": 0xEB}
_CURRENTS = ("el.current.l1", "el.current.l3")
_NO_CURRENT = 0x7FFE
_CODES = sorted(EXPONENTS, key=EXPONENTS.__getitem__)


class JpBroute(BaseProfile):
    """The profile; see `firmware_profiles.api.Profile`."""

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one ECHONET Lite frame; it has no check to verify. Raises DecodeError."""
        del keys, verify
        return read(echonet.decode(payload), self.register_for, self.zone)

    def encode(self, report: Report) -> bytes:
        """A get response of a simulated meter. Raises ProfileError.

        Power and currents carry the clock of the frame, whole minutes.
        """
        readings = {self.own(reading).channel: reading for reading in report.readings}
        items: list[echonet.Property] = []
        serial = report.meter.encode("utf-8")
        if len(serial) <= _SERIAL_BYTES:
            items.append(echonet.Property(0x8D, serial.ljust(_SERIAL_BYTES, b"\0")))
        if not readings.keys() <= _FIXED_TIME.keys():
            items += self._clock(report.time)
        items += self._energies(readings, report.time)
        if "el.power.net" in readings:
            items.append(_signed(0xE7, readings["el.power.net"], 0, 4))
        if not readings.keys().isdisjoint(_CURRENTS):
            halves = [_current(readings.get(channel)) for channel in _CURRENTS]
            items.append(echonet.Property(0xE8, b"".join(halves)))
        frame = echonet.Frame(1, _METER, _CONTROLLER, echonet.GET_RESPONSE, tuple(items))
        return echonet.encode(frame)

    def _clock(self, moment: datetime) -> list[echonet.Property]:
        local = moment.astimezone(self.zone)
        date = local.year.to_bytes(2, "big") + bytes((local.month, local.day))
        clock = bytes((local.hour, local.minute))
        return [echonet.Property(0x98, date), echonet.Property(0x97, clock)]

    def _energies(self, readings: dict[str, Reading], time: datetime) -> list[echonet.Property]:
        """Coefficient, unit and the energies at their half-hour."""
        energies = {c: r for c, r in readings.items() if c in _FIXED_TIME}
        if not energies:
            return []
        code = _unit_code(list(energies.values()))
        items = [
            echonet.Property(0xD3, (1).to_bytes(4, "big")),
            echonet.Property(0xE1, bytes((code,))),
        ]
        for channel, reading in energies.items():
            local = (reading.time or time).astimezone(self.zone)
            stamp = local.year.to_bytes(2, "big") + bytes(local.timetuple()[1:6])
            count = integer_at(reading, EXPONENTS[code], largest=COUNT_MAX)
            items.append(echonet.Property(_FIXED_TIME[channel], stamp + count.to_bytes(4, "big")))
        return items


def _unit_code(energies: list[Reading]) -> int:
    """The unit code of 1 Wh or more in which all energies are exact counts."""
    for code in _CODES:
        try:
            for reading in energies:
                integer_at(reading, EXPONENTS[code], largest=COUNT_MAX)
        except ProfileError:
            continue
        return code
    raise ProfileError("no unit of E1 expresses these energies in eight digits")


def _signed(code: int, reading: Reading, exponent: int, width: int) -> echonet.Property:
    return echonet.Property(code, _signed_octets(reading, exponent, width))


def _signed_octets(reading: Reading, exponent: int, width: int) -> bytes:
    """The reading in two's complement, off the codes at both ends that mean no value."""
    shift = reading.register.scaler - exponent
    value, left = divmod(reading.value * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    largest = (1 << 8 * width - 1) - 3
    if left or not -largest <= value <= largest:
        raise ProfileError(f"{reading.register.channel} = {reading.quantity} does not fit")
    octets: bytes = int(value).to_bytes(width, "big", signed=True)
    return octets


def _current(reading: Reading | None) -> bytes:
    if reading is None:
        return _NO_CURRENT.to_bytes(2, "big")
    return _signed_octets(reading, -1, 2)


def profile() -> JpBroute:
    """The entry point."""
    return JpBroute("firmware_profiles.jp_broute")
