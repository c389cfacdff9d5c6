"""The answer of a simulated meter: a wired long frame with the long header.

    06 6D            date and time, type I; 46 6D again for values of storage number 1
    04 .. 06 .. 07   the values as binary numbers of 4, 6 or 8 bytes
    0D 78            the meter's id as text, when it is not eight digits

All values of a frame are of one commodity, because a device has one type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.codecs.mbus import vif
from firmware_profiles.codecs.mbus.link import write_long_frame
from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.transport import (
    RESPONSE,
    Address,
    Body,
    Transport,
    write_transport,
)
from firmware_profiles.eu_mbus.clock import standard_time
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from firmware_profiles.api import ProfileSpec, Report
    from ohmesh.model.reading import Reading, Register

_CONTROL, _PRIMARY = 0x08, 0
_MAKER = maker_code("OHM")
_VERSION = 1
_USER_DATA_BYTES_MAX = 253
_ID_DIGITS, _ID_BYTES_MAX = 8, 64
_YEAR_FIRST, _YEAR_LAST = 2000, 2127
_DIFS = {4: 0x04, 6: 0x06, 8: 0x07}
"""Bytes of a binary number -> DIF."""
_TARIFF_LAST = 15
_DEVICE_TYPES = {
    "el": 0x02,
    "gas": 0x03,
    "heat": 0x04,
    "cool": 0x0A,
    "water.hot": 0x06,
    "water": 0x07,
    "hca": 0x08,
}
"""Commodity, by the beginning of its channels -> device type. The longer of two goes first."""


class _Form(NamedTuple):
    """How a channel is written.

    Attributes:
        prefix: FB or FD in front of the VIF.
        table: where its code stands.
        quantity: its name there.
        vifes: what stands behind it.
        shift: decimal exponent that the VIFEs add.
        storage: storage number, 0 or 1.
    """

    prefix: bytes
    table: vif.Table
    quantity: str
    vifes: bytes = b""
    shift: int = 0
    storage: int = 0


_EXPORT_VIFE = b"\x3c"
_PER_1000_VIFE = 0x73
_FORMS = {
    "el.energy.import": _Form(b"", vif.PRIMARY, "energy"),
    "el.energy.export": _Form(b"", vif.PRIMARY, "energy", _EXPORT_VIFE),
    "el.power.import": _Form(b"", vif.PRIMARY, "power"),
    "el.power.export": _Form(b"", vif.PRIMARY, "power", _EXPORT_VIFE),
    "el.reactive.import": _Form(b"\xfb", vif.FB, "reactive", bytes((_PER_1000_VIFE,)), -3),
    "el.reactive.export": _Form(
        b"\xfb", vif.FB, "reactive", bytes((_PER_1000_VIFE | 0x80,)) + _EXPORT_VIFE, -3
    ),
    "el.frequency": _Form(b"\xfb", vif.FB, "frequency"),
    **{
        f"el.{name}.l{phase}": _Form(b"\xfd", vif.FD, name, bytes((0xFC, phase)))
        for name in ("voltage", "current")
        for phase in (1, 2, 3)
    },
    "gas.volume": _Form(b"", vif.PRIMARY, "volume"),
    "water.volume": _Form(b"", vif.PRIMARY, "volume"),
    "water.flow": _Form(b"", vif.PRIMARY, "flow"),
    "water.hot.volume": _Form(b"", vif.PRIMARY, "volume"),
    **{
        f"heat.{name}": _Form(b"", vif.PRIMARY, name)
        for name in ("energy", "volume", "power", "flow", "temp.flow", "temp.return", "temp.delta")
    },
    "cool.energy": _Form(b"", vif.PRIMARY, "energy"),
    "hca.units": _Form(b"", vif.PRIMARY, "units"),
    "hca.units.setday": _Form(b"", vif.PRIMARY, "units", storage=1),
}


def _split_tariff(channel: str) -> tuple[str, int]:
    """A channel without its tariff, and the tariff."""
    base, _, digit = channel.rpartition(".t")
    if base and digit.isdecimal() and 1 <= int(digit) <= _TARIFF_LAST:
        return base, int(digit)
    return channel, 0


def _vib(form: _Form, register: Register) -> bytes:
    """The VIB of a register at its scaler. Raises ProfileError when there is no such VIF."""
    for code, quantity in form.table.items():
        same = quantity.name == form.quantity and quantity.unit is register.unit
        exponent = quantity.exponent + form.shift
        if same and exponent == register.scaler and quantity.multiplier == 1:
            octet = bytes((code | 0x80 if form.vifes else code,))
            return form.prefix + octet + form.vifes
    raise ProfileError(
        f"M-Bus has no {register.unit} x 10^{register.scaler} for {register.channel}"
    )


def _number(reading: Reading, register: Register) -> bytes:
    """The value at the register's scaler as DIF size and binary. Raises ProfileError."""
    shift = reading.register.scaler - register.scaler
    scale: int = 10 ** abs(shift)
    value, left = (reading.value * scale, 0) if shift >= 0 else divmod(reading.value, scale)
    size = next((n for n in _DIFS if abs(value) < 1 << (8 * n - 1)), 0)
    if left or not size:
        raise ProfileError(
            f"{register.channel} = {reading.quantity} is no binary number of 10^{register.scaler}"
        )
    return value.to_bytes(size, "little", signed=True)


def _dib(dif: int, tariff: int) -> bytes:
    """DIF and the DIFEs that a tariff below 16 needs, two bits in each."""
    low, high = (tariff & 3) << 4, (tariff >> 2) << 4
    if not tariff:
        return bytes((dif,))
    return bytes((dif | 0x80, low | 0x80, high) if high else (dif | 0x80, low))


def _record(reading: Reading, spec: ProfileSpec) -> bytes:
    channel = reading.register.channel
    base, tariff = _split_tariff(channel)
    form, register = _FORMS.get(base), spec.registers.get(channel)
    if form is None or register is None or register.unit is not reading.register.unit:
        raise ProfileError(f"{spec.name} does not write {channel} in {reading.register.unit}")
    data = _number(reading, register)
    dif = _DIFS[len(data)] | form.storage << 6
    return _dib(dif, tariff) + _vib(form, register) + data


def _time(moment: datetime, zone: tzinfo, storage: int) -> bytes:
    """Date and time of type I, in standard time. Raises ProfileError outside 2000 to 2127."""
    local = standard_time(moment, zone)
    if not _YEAR_FIRST <= local.year <= _YEAR_LAST:
        raise ProfileError(f"M-Bus has no year {local.year}")
    year = local.year - _YEAR_FIRST
    clock = (local.second, local.minute, local.hour | local.isoweekday() << 5)
    date = (local.day | (year & 7) << 5, local.month | (year >> 3) << 4)
    return bytes((0x06 | storage << 6, 0x6D, *clock, *date, 0))


def _device_type(report: Report) -> int:
    """The device type of all readings. Raises ProfileError for two commodities in a report."""
    found = {
        next((code for name, code in _DEVICE_TYPES.items() if channel.startswith(f"{name}.")), None)
        for channel in (reading.register.channel for reading in report.readings)
    } or {_DEVICE_TYPES["el"]}
    if len(found) > 1 or None in found:
        raise ProfileError("an M-Bus device reports channels of one commodity")
    return found.pop() or 0


def _storages(report: Report) -> tuple[int, ...]:
    """The storage numbers whose time must be told."""
    channels = {reading.register.channel for reading in report.readings}
    stored = any(_FORMS[channel].storage for channel in channels & _FORMS.keys())
    return (0, 1) if stored else (0,)


def _identity(meter: str) -> tuple[bytes, bytes]:
    """The identification number, and a record with the id's text where it says more."""
    if len(meter) == _ID_DIGITS and meter.isascii() and meter.isdecimal():
        return bytes.fromhex(meter)[::-1], b""
    digits = "".join(c for c in meter if c in "0123456789")[-_ID_DIGITS:].rjust(_ID_DIGITS, "0")
    text = meter.encode("latin-1", "replace")[::-1]
    if len(text) > _ID_BYTES_MAX:
        raise ProfileError(f"a meter id of {len(text)} bytes")
    return bytes.fromhex(digits)[::-1], b"\x0d\x78" + bytes((len(text),)) + text


def frame_of(report: Report, spec: ProfileSpec, zone: tzinfo) -> bytes:
    """The long frame of a report.

    Args:
        report: what the meter says; its time counts to the second.
        spec: the profile's data.
        zone: the meter's zone; the frame has its standard time.

    Raises:
        ProfileError: a channel or value that M-Bus, or this profile, cannot express.
    """
    identification, text = _identity(report.meter)
    address = Address(identification, _MAKER, _VERSION, _device_type(report))
    head = Transport(RESPONSE, Body.RECORDS, address, 0, 0, 0, 0)
    values = b"".join(_record(reading, spec) for reading in report.readings)
    times = b"".join(_time(report.time, zone, storage) for storage in _storages(report))
    body = write_transport(head) + times + values + text
    if len(body) > _USER_DATA_BYTES_MAX:
        raise ProfileError(f"{len(body)} bytes do not fit an M-Bus frame")
    return write_long_frame(_CONTROL, _PRIMARY, body)
