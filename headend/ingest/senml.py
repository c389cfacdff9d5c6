"""SenML JSON (RFC 8428) of meters with their own modem -> readings of the meter's profile. Pure.

A record's name is base name and name together; what follows its last `/` names the quantity: a
channel of the meter's profile (`el.energy.import`) or its OBIS code (`1-0:1.8.0`). An unknown name
is refused: names from outside never grow the channel dictionary. Values are decimals, rounded
half to even to the register's own resolution, so that one quantity stays one channel.

Times (RFC 8428, 4.5.3): base time and time together; below 2**28 they are relative to now.
Not used: strings, booleans, data and sums.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from firmware_profiles.api import Decoded
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.reading import Reading
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from firmware_profiles.api import ProfileSpec
    from ohmesh.model.reading import Register

RECORDS_MAX: Final = 1000
VERSION_MAX: Final = 10
_JSON: Final = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)
_RELATIVE_BELOW: Final = 2**28
_EXPONENT_MAX: Final = 30
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BASE: Final = {"bn": "n", "bt": "t", "bu": "u", "bv": "v"}
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


def _error(kind: DecodeErrorKind, message: str) -> DecodeError:
    return DecodeError(kind, f"SenML: {message}")


def decode(payload: bytes, spec: ProfileSpec, now: datetime) -> Decoded:
    """The readings of a pack. Raises DecodeError, whatever the bytes.

    Args:
        payload: a JSON array of records.
        spec: of the meter's profile: its registers are the names that are understood.
        now: for relative times.
    """
    readings = tuple(_reading(record, spec, now) for record in _records(payload) if "v" in record)
    if not readings:
        raise _error(DecodeErrorKind.MALFORMED, "no record has a value")
    return Decoded(device={}, readings=readings)


def _records(payload: bytes) -> Iterator[dict[str, Any]]:
    """The records with their base values applied (RFC 8428, 4.6)."""
    base: dict[str, Any] = {}
    for record in _parse(payload):
        if not isinstance(record, dict):
            raise _error(DecodeErrorKind.MALFORMED, "a record is not an object")
        for label, value in record.items():
            _check(label, value)
        base |= {field: record[label] for label, field in _BASE.items() if label in record}
        yield _resolved(record, base)


def _parse(payload: bytes) -> list[Any]:
    try:
        pack = _JSON.decode(payload.decode())
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise _error(DecodeErrorKind.MALFORMED, f"no JSON: {error}") from error
    if not isinstance(pack, list) or not 0 < len(pack) <= RECORDS_MAX:
        raise _error(DecodeErrorKind.MALFORMED, f"a pack is an array of 1..{RECORDS_MAX} records")
    return pack


def _check(label: str, value: object) -> None:
    if label.endswith("_"):
        raise _error(DecodeErrorKind.UNSUPPORTED, f"the label {label[:40]!r} must be understood")
    if label in {"bn", "n", "bu", "u"} and not isinstance(value, str):
        raise _error(DecodeErrorKind.MALFORMED, f"{label} is no text")
    if label in {"bt", "t", "bv", "v", "bver"}:
        finite = isinstance(value, Decimal) and value.is_finite()
        if not finite or abs(value.adjusted()) > _EXPONENT_MAX:  # type: ignore[attr-defined]
            raise _error(DecodeErrorKind.MALFORMED, f"{label} is no number, or out of range")
    if label == "bver" and value != VERSION_MAX:
        raise _error(DecodeErrorKind.UNSUPPORTED, f"version {value}")


def _resolved(record: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    resolved = {
        "n": base.get("n", "") + record.get("n", ""),
        "t": base.get("t", Decimal(0)) + record.get("t", Decimal(0)),
        "u": record.get("u", base.get("u")),
    }
    if "v" in record:
        resolved["v"] = base.get("v", Decimal(0)) + record["v"]
    return resolved


def _reading(record: dict[str, Any], spec: ProfileSpec, now: datetime) -> Reading:
    register = _register(record["n"].rpartition("/")[2], spec)
    value = record["v"] * Decimal(10) ** _exponent(record["u"], register)
    mantissa = value.scaleb(-register.scaler).to_integral_value(ROUND_HALF_EVEN)
    return Reading(register, int(mantissa), _time(record["t"], now))


def _register(name: str, spec: ProfileSpec) -> Register:
    found = spec.registers.get(name)
    if found is None:
        found = next((r for r in spec.registers.values() if str(r.obis) == name), None)
    if found is None:
        raise _error(DecodeErrorKind.UNSUPPORTED, f"{name[:60]!r} is no register of {spec.name}")
    return found


def _exponent(unit: str | None, register: Register) -> int:
    if unit is None:
        return 0
    base, exponent = _UNITS.get(unit, (None, 0))
    if base is not register.unit:
        raise _error(
            DecodeErrorKind.UNSUPPORTED, f"{register.channel} in {unit[:20]!r}, not {register.unit}"
        )
    return exponent


def _time(seconds: Decimal, now: datetime) -> datetime:
    micros = timedelta(microseconds=1)
    start = now if seconds < _RELATIVE_BELOW else _UNIX_EPOCH
    try:
        return start + int(seconds * 10**6) * micros
    except OverflowError as error:
        raise _error(DecodeErrorKind.MALFORMED, f"the time {seconds}") from error
