"""Files of telegrams: a JSON object a line, and what each decodes to.

A record has `id`, `standard`, `country`, and `telegram_hex` or `telegram_text`; an encrypted one
`key_hex` and, where its market has one, `auth_key_hex`. A Modbus answer does not say which
registers it holds, so its request stands before it, as `request_hex`. Further fields do not matter
here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from firmware_profiles import registry
from firmware_profiles.api import Keys
from firmware_profiles.codecs.number import number_text
from ohmesh.model.errors import DecodeError, DecodeErrorKind, OhmeshError, ProfileError
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firmware_profiles.api import Decoded, Profile
    from ohmesh.model.reading import Reading

_DIFFERENCE = "temp.delta"


class RecordError(OhmeshError):
    """A record that holds no telegram that we could decode."""


@dataclass(frozen=True, slots=True)
class Record:
    """One telegram of a file.

    Attributes:
        id: its name in the file.
        profile: the profile that decodes it.
        payload: its bytes.
        keys: for an encrypted one.
    """

    id: str
    profile: Profile
    payload: bytes
    keys: Keys | None = None

    def decode(self, *, verify: bool = True) -> Decoded:
        """What the telegram says. Raises DecodeError."""
        return self.profile.decode(self.payload, keys=self.keys, verify=verify)


def parse_record(fields: Mapping[str, Any], name: str) -> Record:
    """A record from its JSON fields. Raises RecordError with the reason."""
    profile = profile_for(_text(fields, "standard"), str(fields.get("country", "-")))
    return Record(name, profile, payload_of(fields), keys_of(fields))


def profile_for(standard: str, country: str) -> Profile:
    """The profile for a record: of its country, or the one whose main standard it is.

    Raises:
        RecordError: no profile reads the standard.
    """
    profiles = registry.for_standard(standard)
    if not profiles:
        raise RecordError(f"no installed profile reads the standard {standard!r}")
    mains = [p for p in profiles if p.spec.standards[0] == standard]
    return next((p for p in profiles if p.spec.country == country), (*mains, *profiles)[0])


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise RecordError(f"the record has no text {name!r}")
    return value


def _hex(fields: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(_text(fields, name))
    except ValueError as error:
        raise RecordError(f"{name} is no hex text: {error}") from error


def payload_of(fields: Mapping[str, Any]) -> bytes:
    """The bytes of a record. Raises RecordError."""
    if "telegram_hex" in fields:
        request = _hex(fields, "request_hex") if fields.get("request_hex") else b""
        return request + _hex(fields, "telegram_hex")
    try:
        return _text(fields, "telegram_text").encode("latin-1")
    except UnicodeEncodeError as error:
        raise RecordError(f"telegram_text holds a character that is no byte: {error}") from error


def keys_of(fields: Mapping[str, Any]) -> Keys | None:
    """The keys of a record, None when it has none. Raises RecordError."""
    if fields.get("key_hex") is None:
        return None
    authentication = _hex(fields, "auth_key_hex") if fields.get("auth_key_hex") else None
    return Keys(_hex(fields, "key_hex"), authentication)


def answers(lines: Iterable[str], *, verify: bool = True) -> Iterator[str]:
    """A JSON line for each line that is not blank; a bad record is an error in its own line.

    Args:
        lines: JSON objects.
        verify: False accepts telegrams whose checksum fails.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _answer(line, number, verify=verify)


def _answer(line: str, number: int, *, verify: bool) -> str:
    name = f"line {number}"
    try:
        fields = _fields(line)
        name = str(fields.get("id", name))
        return _decoded_json(name, parse_record(fields, name).decode(verify=verify))
    except DecodeError as error:
        return _error_json(name, error.kind.value, f"{error.message} (byte {error.offset})")
    except (ValueError, RecursionError) as error:
        return _error_json(name, DecodeErrorKind.MALFORMED.value, f"no JSON: {error}")
    except RecordError as error:
        return _error_json(name, DecodeErrorKind.UNSUPPORTED.value, str(error))
    except ProfileError:
        raise  # our own data is wrong, not the record
    except Exception as error:  # noqa: BLE001 - a bug in one profile must not stop the file
        return _error_json(name, "internal", f"{type(error).__name__}: {error}")


def _fields(line: str) -> Mapping[str, Any]:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise RecordError("the line is no JSON object")
    return fields


def _object(fields: Mapping[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items()) + "}"


def reading_json(reading: Reading) -> str:
    """A reading as JSON; its value keeps every digit, because no float comes near it."""
    register = reading.register
    return _object(
        {
            "obis": json.dumps(str(register.obis)),
            "name": json.dumps(register.channel.rpartition("raw.")[2]),
            "channel": json.dumps(register.channel),
            "value": number_text(reading.value, register.scaler),
            "unit": json.dumps(register.unit.value),
            "time": json.dumps(reading.time.isoformat() if reading.time else None),
        }
    )


def listed(decoded: Decoded) -> Iterator[Reading]:
    """The readings, and each temperature difference a second time in degC.

    A difference is the same number in K, which the standards write, and in degC, which most readers
    of meters do; whoever looks for either finds it. Only these lines say it twice, never `Decoded`.
    """
    for reading in decoded.readings:
        yield reading
        register = reading.register
        if register.unit is Unit.KELVIN and _DIFFERENCE in register.channel:
            yield replace(reading, register=replace(register, unit=Unit.CELSIUS))


def _decoded_json(name: str, decoded: Decoded) -> str:
    return _object(
        {
            "id": json.dumps(name),
            "device": json.dumps(dict(decoded.device)),
            "readings": "[" + ", ".join(map(reading_json, listed(decoded))) + "]",
            "texts": json.dumps(dict(decoded.texts)),
            "error": "null",
        }
    )


def _error_json(name: str, kind: str, message: str) -> str:
    error = {"kind": kind, "message": message}
    return json.dumps({"id": name, "device": {}, "readings": [], "error": error})
