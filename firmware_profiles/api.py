"""The contract of a profile: what a country's meters send and obey.

A profile is data (`profile.toml`) and two pure functions. It is found by the entry point
`ohmesh.profiles`. `decode` ends in a `Decoded` or in a `DecodeError`, whatever the bytes;
`encode` gives the telegram that a simulated meter of this profile sends, and
`decode(encode(report))` gives the report's readings back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from ohmesh.model.reading import Reading, Register

Evidence = Literal["real", "spec", "synthetic"]
RuleTopic = Literal[
    "disconnection", "privacy", "retention", "prepayment", "interval", "port", "settlement"
]
Confidence = Literal["verified", "seen", "recalled"]
"""How far a rule is checked: its legal text read, a public source seen, or from memory only."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A meter's keys, as the caller's key store holds them.

    Attributes:
        unicast: the global unicast encryption key, 16 bytes (suites 0 and 1).
        authentication: the authentication key (DLMS `AK`), 16 bytes, when the market uses one.
        counter_floor: the highest invocation counter accepted so far; a telegram with one that is
            not higher is refused with DecodeErrorKind.REPLAY. None switches the check off.
    """

    unicast: bytes
    authentication: bytes | None = None
    counter_floor: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a telegram says.

    Attributes:
        device: names of the device as it gives them: `id`, `serial`, `manufacturer`, `model` ...
        readings: numeric values, in the order of the telegram.
        time: the telegram's own stamp in UTC, None when it has none.
        texts: values that are no numbers, by OBIS text or label: messages, codes, logs.
        counter: the invocation counter of an encrypted telegram, None otherwise.
    """

    device: Mapping[str, str]
    readings: tuple[Reading, ...]
    time: datetime | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    counter: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a simulated meter has to say at an instant.

    Attributes:
        meter: the meter's own id text.
        time: UTC, the END of the interval that the readings close.
        readings: values of registers of this profile (`ProfileSpec.registers`).
    """

    meter: str
    time: datetime
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a country demands of a meter system.

    Attributes:
        topic: what it is about.
        summary: the rule in a sentence or two.
        source: the document and clause.
        checked_on: the day on which somebody last compared it with the source.
        confidence: how far; a rule below `seen` may warn, but protects nobody alone.
        data: its numbers, by name.
    """

    topic: RuleTopic
    summary: str
    source: str
    checked_on: date
    confidence: Confidence
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    """The data half of a profile, from its profile.toml.

    Attributes:
        name: the entry-point name, `nl_dsmr`.
        title: one line for people.
        country: ISO 3166 code, `EU` for several, `-` for none.
        zone: IANA zone of stamps without one.
        interval_s: load-profile interval, seconds.
        evidence: where the vectors come from.
        standards: standards of telegram records that this profile decodes (`dsmr-p1`).
        registers: canonical channel name -> register.
        reported: channels that a simulated meter of this profile sends every interval.
        codec: the encoding, by the name of its module in `firmware_profiles.codecs`.
        security: how telegrams are protected, in a word: `none`, `suite0`, `password` ...
        rules: what the country demands.
    """

    name: str
    title: str
    country: str
    zone: str
    interval_s: int
    evidence: Evidence
    standards: tuple[str, ...]
    registers: Mapping[str, Register]
    reported: tuple[str, ...]
    codec: str = ""
    security: str = "none"
    rules: tuple[Rule, ...] = ()


class Profile(Protocol):
    """A national profile."""

    @property
    def spec(self) -> ProfileSpec:
        """The data half."""
        ...

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one telegram.

        Args:
            payload: the telegram as the meter sent it.
            keys: needed by encrypted telegrams.
            verify: False accepts a telegram whose checksum fails (published examples do).

        Raises:
            DecodeError: the only error, whatever the bytes.
        """
        ...

    def encode(self, report: Report) -> bytes:
        """The telegram of a simulated meter.

        A report of the channels in `spec.reported` takes at most 140 bytes, so that it rides in
        one mesh frame; a fuller report may take what the standard takes.

        Raises:
            ProfileError: a reading that this profile cannot express.
        """
        ...
