"""A scenario from its TOML text; what is wrong is told with file, line and the nearest word."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from firmware_profiles import registry
from meter_sim.scenario.check import complaint
from meter_sim.scenario.model import (
    SPAN,
    Driver,
    Expect,
    Fault,
    Fleet,
    Load,
    LoadKind,
    Scenario,
    What,
)
from ohmesh.model.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

SHIPPED = files("meter_sim.scenario") / "shipped"
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": Scenario,
    "fleet": Fleet,
    "load": Load,
    "fault": Fault,
    "expect": Expect,
}
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)")
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_WORDS: dict[str, type[StrEnum]] = {"driver": Driver, "kind": LoadKind, "what": What}
_ENUM = re.compile(r"nvalid enum value '([^']*)'")
_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?")


def shipped_names() -> list[str]:
    """Names of the shipped scenarios, sorted."""
    names = (entry.name for entry in SHIPPED.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name, or one in a file. Raises ConfigError."""
    if name in shipped_names():
        return parse_scenario((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if not path.exists():
        near = get_close_matches(name, shipped_names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else "; `ohmesh sim scenarios` lists them"
        raise ConfigError(f"no scenario {name!r}, neither shipped nor a file{hint}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the scenario {path}: {error}") from error
    return parse_scenario(text, name)


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario in a text. Args: name: of the file, for messages. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = _AT_LINE.search(str(error))
        line = where[1] if where else "?"
        raise ConfigError(f"{name}:{line}: no TOML: {_AT_LINE.sub('', str(error))}") from None
    for table, index, key, known in _unknown(document):
        near = get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        place = f"in [{table}]" if table else "at the top"
        raise ConfigError(f"{name}:{_line(text, table, index, key)}: {key!r} {place}: {hint}")
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise ConfigError(_located(text, name, str(error))) from None
    _check(scenario, text, name)
    return scenario


def _unknown(document: dict[str, Any]) -> Iterator[tuple[str, int, str, list[str]]]:
    """(table, its number among its like, key, known keys) of every key without meaning."""
    for table, struct in _TABLES.items():
        known = [f.encode_name for f in msgspec.structs.fields(struct)]
        found = document if not table else document.get(table, {})
        entries = found if isinstance(found, list) else [found]
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                yield from ((table, index, key, known) for key in entry if key not in known)


def _located(text: str, name: str, message: str) -> str:
    """Msgspec's complaint, with the line instead of its path."""
    match = _PATH.search(message)
    path = match["path"] if match else ""
    parts = re.findall(r"[A-Za-z_]+|\[\d+\]", path)
    words = [part for part in parts if not part.startswith("[")]
    index = int(parts[1][1:-1]) if len(parts) > 1 and parts[1].startswith("[") else 0
    table = words[0] if len(words) > 1 or (words and words[0] in _TABLES) else ""
    key = words[-1] if words and words[-1] != table else ""
    what = _plain(_PATH.sub("", message), key)
    subject = f"{key}: " if key else ""
    return f"{name}:{_line(text, table, index, key)}: {subject}{what[:1].lower()}{what[1:]}"


def _plain(message: str, key: str) -> str:
    """Msgspec's complaint about a key's value, with what belongs there."""
    if repr(SPAN) in message:
        return "write a stretch of time such as 90min or 2h30min"
    match = _ENUM.search(message)
    words = [word.value for word in _WORDS.get(key, ())]
    if not match or not words:
        return message
    near = get_close_matches(match[1], words, 1)
    return (
        f"{message}; did you mean {near[0]!r}?"
        if near
        else f"{message}; known are {', '.join(words)}"
    )


def _line(text: str, table: str, index: int, key: str) -> int:
    """The line on which a key of the so-manieth table stands; of the table without the key."""
    current, seen, header_line = "", -1 if table else 0, 1
    pattern = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=") if key else None
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            current = header[1]
            if not table and current == key:
                return number
            if current == table:
                seen += 1
                header_line = number if seen == index else header_line
        elif current == table and seen == index and pattern and pattern.match(line):
            return number
    return header_line


def _check(scenario: Scenario, text: str, name: str) -> None:
    """What the types cannot say. Raises ConfigError."""
    for profile in scenario.fleet.profiles:
        try:
            registry.load(profile)
        except ProfileError as error:
            line = _line(text, "fleet", 0, "profiles")
            raise ConfigError(f"{name}:{line}: {error}") from None
    wrong = complaint(scenario)
    if wrong:
        table, index, key, what = wrong
        raise ConfigError(f"{name}:{_line(text, table, index, key)}: {what}")
