"""Other people's recordings as records. Pure: lines in, records out.

A line that does not fit is a ConfigError with its number: half an import would look like a whole.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from meter_sim.capture.record import MQTT, RETAIN, Record
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FIELDS = {
    "U": r"(?P<seconds>\d+(?:\.\d+)?)",
    "I": r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))",
    "t": r"(?P<topic>[^\s]+)",
    "q": r"(?P<qos>[0-2])",
    "r": r"(?P<retain>[01])",
    "l": r"\d+",
    "x": r"(?P<hex>(?:[0-9a-fA-F]{2})*)",
    "X": r"(?P<hex>(?:[0-9a-fA-F]{2})*)",
    "p": r"(?P<text>.*)",
    "%": "%",
}
_JSON_FORMATS = ("%j", "%J")
_CODE = re.compile(r"%(.)")


def mosquitto_sub(lines: Iterable[str], layout: str) -> Iterator[Record]:
    """The output of `mosquitto_sub -F LAYOUT`.

    Args:
        lines: its lines.
        layout: the format that was given to it: %U or %I, %t, and %x, %X or %p; or %j, %J.

    Raises:
        ConfigError: the layout lacks a time, a topic or a payload; a line that is not of it.
    """
    read = _sub_json if layout in _JSON_FORMATS else _sub_text(layout)
    return _each(lines, read)


def _each(lines: Iterable[str], read: Callable[[str], Record]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text:
            continue
        try:
            yield read(text)
        except (ValueError, KeyError, TypeError, InvalidOperation) as error:
            raise ConfigError(f"line {number} does not fit: {error}") from error


def _sub_text(layout: str) -> Callable[[str], Record]:
    pattern = re.compile(_pattern(layout))

    def read(line: str) -> Record:
        match = pattern.fullmatch(line)
        if match is None:
            raise ValueError(f"it is not of the form {layout!r}")
        found = match.groupdict()
        at_us = _iso_us(found["iso"]) if found.get("iso") else _seconds_us(found["seconds"])
        octets = found.get("hex")
        payload = found["text"].encode() if octets is None else bytes.fromhex(octets)
        flags = int(found.get("qos") or 0) | RETAIN * int(found.get("retain") or 0)
        return Record(at_us, f"{MQTT} {found['topic']}", payload, flags)

    return read


def _pattern(layout: str) -> str:
    """The layout as a regular expression. Raises ConfigError."""
    parts, end = [], 0
    for code in _CODE.finditer(layout):
        parts.append(re.escape(layout[end : code.start()]))
        if code[1] not in _FIELDS:
            known = " ".join(f"%{c}" for c in _FIELDS)
            raise ConfigError(f"the format has %{code[1]}; known are {known}, or %j or %J alone")
        parts.append(_FIELDS[code[1]])
        end = code.end()
    pattern = "".join((*parts, re.escape(layout[end:])))
    for names in (("seconds", "iso"), ("topic",), ("hex", "text")):
        if not any(f"?P<{name}>" in pattern for name in names):
            raise ConfigError(f"the format {layout!r} needs a time (%U or %I), %t, and %x or %p")
    return pattern


def _sub_json(line: str) -> Record:
    fields = json.loads(line)
    payload = fields.get("payload") or ""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    flags = int(fields.get("qos", 0)) | RETAIN * int(fields.get("retain", 0))
    return Record(_iso_us(fields["tst"]), f"{MQTT} {fields['topic']}", text.encode(), flags)


def mqtt_recorder(lines: Iterable[str], *, base64_payload: bool) -> Iterator[Record]:
    """The CSV of mqtt-recorder: topic, payload, QoS, retained, Unix time, seconds since the last.

    Args:
        lines: of the file.
        base64_payload: it was recorded with `--encode_b64`.

    Raises:
        ConfigError: a row that is not of it.
    """
    for number, row in enumerate(csv.reader(lines), 1):
        try:
            topic, text, qos, retained, seconds = row[:5]
            payload = base64.b64decode(text, validate=True) if base64_payload else text.encode()
            flags = int(qos) & 3 | (RETAIN if retained == "True" else 0)
            yield Record(_seconds_us(seconds), f"{MQTT} {topic}", payload, flags)
        except (ValueError, InvalidOperation, binascii.Error) as error:
            raise ConfigError(f"row {number} is none of mqtt-recorder's: {error}") from error


def _seconds_us(text: str) -> int:
    return int(Decimal(text) * 1_000_000)


def _iso_us(text: str) -> int:
    """Microseconds since 1970. Raises ValueError, also without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
