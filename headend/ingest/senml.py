"""SenML JSON (RFC 8428) of meters with their own modem -> readings of the meter's profile. Pure.

A record's name is base name and name together; what follows its last `/` names the quantity: a
channel of the meter's profile (`el.energy.import`) or its OBIS code (`1-0:1.8.0`). An unknown name
is refused: names from outside never grow the channel dictionary. Values are decimals, rounded
half to even to the register's own resolution, so that one quantity stays one channel.

Times (RFC 8428, 4.5.3): base time and time together; below 2**28 they are relative to now.
Not used: strings, booleans, data and sums.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from firmware_profiles.api import ProfileSpec
    from ohmesh.model.reading import Register

RECORDS_MAX: Final = 1000
VERSION_MAX: Final = 10
_RELATIVE_BELOW: Final = 2**28
_EXPONENT_MAX: Final = 30
_INT64: Final = 2**63
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since 1970."""
_UNITS: Final[Mapping[str, tuple[Unit, int]]] = {
    "Wh": (Unit.WH, 0),
    "kWh": (Unit.WH, 3),
    "varh": (Unit.VARH, 0),
    "kvarh": (Unit.VARH, 3),
    "VAh": (Unit.VAH, 0),
    "kVAh": (Unit.VAH, 3),
    "W": (Unit.W, 0),
    "kW": (Unit.W, 3),
    "var": (Unit.VAR, 0),
    "kvar": (Unit.VAR, 3),
    "VA": (Unit.VA, 0),
    "kVA": (Unit.VA, 3),
    "V": (Unit.V, 0),
    "A": (Unit.A, 0),
    "Hz": (Unit.HZ, 0),
    "J": (Unit.J, 0),
    "m3": (Unit.M3, 0),
    "Cel": (Unit.CELSIUS, 0),
    "K": (Unit.KELVIN, 0),
}
"""SenML unit (RFC 8428 table and RFC 8798) -> base unit and power of ten."""


class _Record(msgspec.Struct, gc=False):
    """A record as it stands; what is not there is empty. Numbers stay text: none is a float."""

    bn: str | UnsetType = UNSET
    bt: msgspec.Raw = msgspec.Raw()
    bu: str | UnsetType = UNSET
    bv: msgspec.Raw = msgspec.Raw()
    bver: msgspec.Raw = msgspec.Raw(b"10")
    n: str = ""
    t: msgspec.Raw = msgspec.Raw()
    u: str = ""
    v: msgspec.Raw = msgspec.Raw()


class Sample(NamedTuple):
    """One value: microseconds since 1970, and the integer in the register's resolution."""

    register: Register
    time_us: int
    value: int


_PACK: Final = msgspec.json.Decoder(list[_Record])
_LABELS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_Number = int | Decimal


def _error(kind: DecodeErrorKind, message: str) -> DecodeError:
    return DecodeError(kind, f"SenML: {message}")


def decode(payload: bytes, spec: ProfileSpec, now_us: int) -> list[Sample]:
    """The values of a pack. Raises DecodeError, whatever the bytes.

    Args:
        payload: a JSON array of records.
        spec: of the meter's profile: its registers are the names that are understood.
        now_us: for relative times: microseconds since 1970.
    """
    samples = list(_samples(_parse(payload), spec, now_us))
    if not samples:
        raise _error(DecodeErrorKind.MALFORMED, "no record has a value")
    return samples


def _parse(payload: bytes) -> list[_Record]:
    try:
        pack = _PACK.decode(payload)
        if b'_"' in payload or b"\\" in payload:  # a label that must be understood may be in it
            _check_labels(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _error(DecodeErrorKind.MALFORMED, f"no pack of records: {error}") from error
    if not 0 < len(pack) <= RECORDS_MAX:
        raise _error(DecodeErrorKind.MALFORMED, f"a pack is an array of 1..{RECORDS_MAX} records")
    return pack


def _check_labels(payload: bytes) -> None:
    """RFC 8428, 4.4: a label that ends with an underscore must be understood."""
    for record in _LABELS.decode(payload):
        for label in record:
            if label.endswith("_"):
                reason = f"the label {label[:40]!r} must be understood"
                raise _error(DecodeErrorKind.UNSUPPORTED, reason)


def _samples(pack: list[_Record], spec: ProfileSpec, now_us: int) -> Iterator[Sample]:
    """The values with the base values applied (RFC 8428, 4.6)."""
    name, unit = "", ""
    time: _Number = 0
    offset: _Number = 0
    for record in pack:
        if _number(record.bver) != VERSION_MAX:
            raise _error(DecodeErrorKind.UNSUPPORTED, f"version {bytes(record.bver)!r}")
        name = name if record.bn is UNSET else record.bn
        unit = unit if record.bu is UNSET else record.bu
        time = _number(record.bt) if record.bt else time
        offset = _number(record.bv) if record.bv else offset
        seconds = time + _number(record.t) if record.t else time
        if record.v:
            register = _register((name + record.n).rpartition("/")[2], spec)
            value = _number(record.v) + offset
            mantissa = _scaled(value, _exponent(record.u or unit, register) - register.scaler)
            yield Sample(register, _time_us(seconds, now_us), mantissa)


def _number(raw: msgspec.Raw) -> _Number:
    """A number of JSON, exactly; the parser has seen that its form is right."""
    octets = bytes(raw)
    if octets.isdigit() and len(octets) <= _EXPONENT_MAX:
        return int(octets)
    value = Decimal(octets.decode()) if octets[:1] in b"-0123456789" else None
    if value is None or abs(value.adjusted()) > _EXPONENT_MAX:
        raise _error(DecodeErrorKind.MALFORMED, f"{octets[:40]!r} is no number, or out of range")
    return value


def _scaled(value: _Number, exponent: int) -> int:
    """Value x 10**exponent, rounded half to even. Raises DecodeError beyond 64 bits."""
    if isinstance(value, int) and exponent >= 0:
        mantissa = value * int(10**exponent)
    else:
        mantissa = int(Decimal(value).scaleb(exponent).to_integral_value(ROUND_HALF_EVEN))
    if not -_INT64 <= mantissa < _INT64:
        raise _error(DecodeErrorKind.MALFORMED, f"{value} is beyond 64 bits")
    return mantissa


def _register(name: str, spec: ProfileSpec) -> Register:
    found = spec.registers.get(name)
    if found is None:
        found = next((r for r in spec.registers.values() if str(r.obis) == name), None)
    if found is None:
        raise _error(DecodeErrorKind.UNSUPPORTED, f"{name[:60]!r} is no register of {spec.name}")
    return found


def _exponent(unit: str, register: Register) -> int:
    if not unit:
        return 0
    base, exponent = _UNITS.get(unit, (None, 0))
    if base is not register.unit:
        raise _error(
            DecodeErrorKind.UNSUPPORTED, f"{register.channel} in {unit[:20]!r}, not {register.unit}"
        )
    return exponent


def _time_us(seconds: _Number, now_us: int) -> int:
    time_us = int(seconds * 10**6) + (now_us if seconds < _RELATIVE_BELOW else 0)
    if not _FIRST_US <= time_us <= _LAST_US:
        raise _error(DecodeErrorKind.MALFORMED, f"the time {seconds}")
    return time_us
