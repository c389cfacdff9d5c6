"""Read a `profile.toml` into a ProfileSpec; a wrong file is refused with line, key and reason.

The file, by its tables:

    [profile]     name, title, country, zone, interval_s, evidence, codec, security, standards,
                  reported (channels that a simulated meter sends every interval)
    [registers]   channel = {} for a canonical register as it is, or what differs:
                  scaler; obis and unit too for a channel of this profile alone
    [[rules]]     what the country demands: topic, summary, source, checked_on, confidence, and
                  whatever numbers the topic has in a table `data`
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from firmware_profiles import canonical
from firmware_profiles.api import Confidence, Evidence, ProfileSpec, Rule, RuleTopic
from firmware_profiles.toml import TomlFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ohmesh.model.reading import Register

_INTERVAL_S_MAX = 86_400
_PROFILE_KEYS = frozenset(
    [
        "name",
        "title",
        "country",
        "zone",
        "interval_s",
        "evidence",
        "codec",
        "security",
        "standards",
        "reported",
    ]
)
_RULE_KEYS = frozenset(["topic", "summary", "source", "checked_on", "confidence", "data"])


def _zone(file: TomlFile, name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        file.refuse("zone", f"{name!r} is no IANA zone")
    return name


def _interval_s(file: TomlFile, head: Mapping[str, Any]) -> int:
    interval_s = file.need(head, "interval_s", int)
    if interval_s < 1 or _INTERVAL_S_MAX % interval_s:
        file.refuse("interval_s", f"{interval_s} does not divide a day of {_INTERVAL_S_MAX} s")
    return interval_s


def _register(file: TomlFile, channel: str, entry: object) -> Register:
    given = file.typed(entry, channel, dict)
    file.only(given, {"obis", "unit", "scaler"})
    known = canonical.table().get(channel)
    if known is None:
        return canonical.parse_register(file, channel, {"scaler": 0, **given})
    base = known.register
    usual = {"obis": str(base.obis), "unit": base.unit.value, "scaler": base.scaler}
    if given.get("unit", usual["unit"]) != usual["unit"]:
        file.refuse(channel, f"the canonical unit is {usual['unit']}")
    return canonical.parse_register(file, channel, {**usual, **given})


def _reported(
    file: TomlFile, head: Mapping[str, Any], registers: Mapping[str, Register]
) -> tuple[str, ...]:
    channels = file.texts(head, "reported")
    for channel in channels:
        file.choice(channel, "reported", registers)
    return channels


def _rule(file: TomlFile, entry: object) -> Rule:
    table = file.typed(entry, "rules", dict)
    file.only(table, _RULE_KEYS)
    topic = file.choice(file.need(table, "topic", str), "topic", get_args(RuleTopic))
    confidence = file.choice(
        file.need(table, "confidence", str), "confidence", get_args(Confidence)
    )
    return Rule(
        topic=cast("RuleTopic", topic),
        summary=file.need(table, "summary", str),
        source=file.need(table, "source", str),
        checked_on=file.need(table, "checked_on", dt.date),
        confidence=cast("Confidence", confidence),
        data=file.typed(table.get("data", {}), "data", dict),
    )


def parse_spec(name: str, text: str) -> ProfileSpec:
    """The spec in a profile.toml text.

    Args:
        name: how errors call the file.
        text: its text.

    Raises:
        ProfileError: `file:line: key: reason`.
    """
    file = TomlFile.parse(name, text)
    file.only(file.data, {"profile", "registers", "rules"})
    head = file.table("profile")
    file.only(head, _PROFILE_KEYS)
    registers = {
        channel: _register(file, channel, entry)
        for channel, entry in file.table("registers").items()
    }
    evidence = file.choice(file.need(head, "evidence", str), "evidence", get_args(Evidence))
    rules = file.typed(file.data.get("rules", []), "rules", list)
    return ProfileSpec(
        name=file.need(head, "name", str),
        title=file.need(head, "title", str),
        country=file.need(head, "country", str),
        zone=_zone(file, file.need(head, "zone", str)),
        interval_s=_interval_s(file, head),
        evidence=cast("Evidence", evidence),
        standards=file.texts(head, "standards"),
        registers=registers,
        reported=_reported(file, head, registers),
        codec=file.need(head, "codec", str),
        security=file.need(head, "security", str),
        rules=tuple(_rule(file, entry) for entry in rules),
    )


@cache
def load_spec(package: str) -> ProfileSpec:
    """The spec in the `profile.toml` of a package. Raises ProfileError."""
    text = files(package).joinpath("profile.toml").read_text(encoding="utf-8")
    return parse_spec(f"{package.rpartition('.')[2]}/profile.toml", text)
