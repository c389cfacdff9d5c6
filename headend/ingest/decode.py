"""One telegram and what is known of its meter -> what it says, or why it says nothing. Pure.

| telegram | meter | outcome |
|---|---|---|
| METER | unknown | quarantine `unknown_meter` |
| METER | with a key | unsealed; a seal that does not fit is quarantine `seal` |
| METER | with market keys | deciphered; a counter that does not rise is `decode:replay` |
| METER, REPORT or plain | known | readings by the meter's profile, or quarantine `decode:<kind>` |
| METER, RESULT | known | a command result |
| METER, EVENT | known | an event |
| TOPOLOGY, DELIVERY, POWER | - | a report of the gateway, or quarantine `wire:<error>` |
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from firmware_profiles import registry
from headend.ingest import senml
from ohmesh.model.errors import (
    BadChecksum,
    DecodeError,
    DecodeErrorKind,
    ModelError,
    ProfileError,
    WireError,
)
from ohmesh.model.reading import Quality, utc
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.metercommand import decode_result
from ohmesh.wire.report import decode_delivery, decode_power, decode_topology
from ohmesh.wire.sealed import SealedKind, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import Decoded, Keys, Profile
    from headend.ingest.shapes import Block
    from ohmesh.model.command import CommandResult
    from ohmesh.model.reading import Register
    from ohmesh.wire.report import DeliveryReport, PowerReport, TopologyReport
    from ohmesh.wire.sealed import Opened

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL's zero of time."""
DIRECT_SOURCE: Final = "direct"
"""Source of a meter with its own modem: SenML JSON may stand for its profile's telegram."""
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH_US: Final = (EPOCH - _UNIX_EPOCH) // _MICROSECOND
_DLMS_SUITE: Final = "suite"
"""How profiles name security that counts its messages."""
_INT64: Final = 2**63
RECEIVED_MS_MAX: Final = 253_402_300_799_000
"""End of the year 9999: a gateway's receive time beyond it is no time."""
EVENT_BYTES_MAX: Final = 4096
EVENT_KIND_MAX: Final = 64
MESSAGE_MAX: Final = 300
"""Characters of an error's text that quarantine keeps."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the store knows of a meter.

    Attributes:
        version: rises with every change of it.
        key: None when its telegrams come plain.
        other_keys: of its seal: the one that it is about to take, and the one before.
        market_keys: of its market's encryption, with the highest counter taken so far as the
            floor; None when it does not encrypt.
        key_fault: why its key could not be opened.
    """

    id: int
    tenant_id: int
    name: str
    address: str
    profile: str
    version: int
    key: bytes | None = None
    other_keys: tuple[bytes, ...] = ()
    market_keys: Keys | None = None
    key_fault: str | None = None


class Value(NamedTuple):
    """One reading: microseconds since 2000, mantissa in the register's unit, Quality."""

    register: Register
    time_us: int
    value: int
    status: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a meter: its kind and what the meter says about it."""

    kind: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a telegram gave nothing: a code to sort by, and a line for people."""

    code: str
    message: str


class Outcome(NamedTuple):
    """What one telegram says; a tuple, because there is one for each telegram.

    Attributes:
        values: its readings, when the full decoder read them.
        row: the same as a row of a block, when its shape was known.
        counter: of its seal or its encryption, None when it came plain.
    """

    values: tuple[Value, ...] = ()
    row: tuple[Block, int] | None = None
    counter: int | None = None
    result: CommandResult | None = None
    event: Event | None = None
    topology: TopologyReport | None = None
    delivery: DeliveryReport | None = None
    power: PowerReport | None = None
    reason: Reason | None = None


def refuse(code: str, error: object) -> Outcome:
    """The outcome of a telegram that goes to quarantine."""
    return Outcome(reason=Reason(code, clean(str(error))))


def clean(text: str) -> str:
    """Text from outside as the store can hold it: UTF-8, no zero characters, a line's length."""
    return text[:MESSAGE_MAX].encode("utf-8", "replace").decode().replace("\0", "")


def received_at(telegram: Telegram) -> datetime:
    """When the gateway took it; its clock is not trusted to be a time at all."""
    return _UNIX_EPOCH + timedelta(milliseconds=min(telegram.received_at_ms, RECEIVED_MS_MAX))


def received_us(telegram: Telegram) -> int:
    """The same in microseconds since 2000."""
    return min(telegram.received_at_ms, RECEIVED_MS_MAX) * 1000 - _EPOCH_US


class Body(NamedTuple):
    """What is left of a meter's report when its seal is open; `counter`: of the seal."""

    payload: bytes
    counter: int | None


def decode(
    telegram: Telegram,
    meter: Meter | None,
    load: Callable[[str], Profile] = registry.load,
) -> Outcome:
    """What a telegram says. Raises nothing for any bytes."""
    opened = open_telegram(telegram, meter)
    if isinstance(opened, Outcome) or meter is None:
        return opened if isinstance(opened, Outcome) else _unknown(telegram)
    return read_body(opened, telegram, meter, load)


def open_telegram(telegram: Telegram, meter: Meter | None) -> Outcome | Body:
    """What a telegram says, or the body that the meter's profile has to read."""
    if telegram.kind is not TelegramKind.METER:
        return _report(telegram)
    if meter is None:
        return _unknown(telegram)
    if meter.key_fault is not None:
        return refuse("key", meter.key_fault)
    if meter.key is None:
        return Body(telegram.payload, None)
    try:
        return _opened(_unseal(meter, meter.key, telegram.payload))
    except WireError as error:
        return refuse("seal", error)


def _unseal(meter: Meter, key: bytes, octets: bytes) -> Opened:
    """Under the key in force; while it changes, under the next or the one before."""
    try:
        return unseal(key, meter.address, octets)
    except BadChecksum:
        for other in meter.other_keys:
            with suppress(BadChecksum):
                return unseal(other, meter.address, octets)
        raise


def _unknown(telegram: Telegram) -> Outcome:
    return refuse("unknown_meter", f"no meter has the address {telegram.meter}")


def _opened(opened: Opened) -> Outcome | Body:
    match opened.kind:
        case SealedKind.REPORT:
            return Body(opened.body, opened.counter)
        case SealedKind.RESULT:
            return _result(opened.body, opened.counter)
        case SealedKind.EVENT:
            return _event(opened.body, opened.counter)
        case _:
            return refuse("seal", f"a {opened.kind.name.lower()} came up instead of going down")


def _report(telegram: Telegram) -> Outcome:
    try:
        if telegram.kind is TelegramKind.TOPOLOGY:
            return Outcome(topology=decode_topology(telegram.payload))
        if telegram.kind is TelegramKind.POWER:
            return Outcome(power=decode_power(telegram.payload))
        return Outcome(delivery=decode_delivery(telegram.payload))
    except WireError as error:
        return refuse(f"wire:{type(error).__name__.lower()}", error)


def is_senml(body: Body, telegram: Telegram) -> bool:
    """Whether a meter with its own modem sent SenML JSON instead of its profile's telegram."""
    return telegram.source == DIRECT_SOURCE and body.payload[:1] == b"["


def read_body(
    body: Body, telegram: Telegram, meter: Meter, load: Callable[[str], Profile] = registry.load
) -> Outcome:
    """The readings of a body by the full decoder. Raises nothing for any bytes."""
    payload, counter = body
    try:
        profile = load(meter.profile)
        if is_senml(body, telegram):
            return Outcome(_samples(payload, profile, telegram), counter=counter)
        decoded = profile.decode(payload, keys=meter.market_keys)
        _refuse_empty(decoded)
        if meter.market_keys is not None and counter is None:
            counter = decoded.counter
            _refuse_plain(counter, profile)
        return Outcome(values=values(decoded, telegram), counter=counter)
    except DecodeError as error:
        return refuse(f"decode:{error.kind.value}", error)
    except ProfileError as error:
        return refuse("profile", error)
    except ModelError as error:
        return refuse("decode:malformed", error)
    except Exception as error:  # noqa: BLE001 - a profile may come from anybody; its bug is kept here
        return refuse("profile", f"the profile {meter.profile} failed: {error!r}")


def _samples(payload: bytes, profile: Profile, telegram: Telegram) -> tuple[Value, ...]:
    now_us = min(telegram.received_at_ms, RECEIVED_MS_MAX) * 1000
    return tuple(
        Value(register, time_us - _EPOCH_US, value, 0)
        for register, time_us, value in senml.decode(payload, profile.spec, now_us)
    )


def _refuse_empty(decoded: Decoded) -> None:
    """What says nothing is kept for people to see, and not passed over."""
    if not (decoded.readings or decoded.texts):
        raise DecodeError(DecodeErrorKind.MALFORMED, "neither a reading nor a text is in it")


def _refuse_plain(counter: int | None, profile: Profile) -> None:
    """A meter that encrypts does not send plain telegrams: somebody else may."""
    if counter is None and profile.spec.security.startswith(_DLMS_SUITE):
        raise DecodeError(DecodeErrorKind.KEY, "it came plain, and the meter has keys")


def values(decoded: Decoded, telegram: Telegram) -> tuple[Value, ...]:
    """Readings as the store takes them. Raises ModelError for a value beyond 64 bits."""
    stamps: dict[datetime | None, tuple[int, int]] = {None: _fallback(decoded, telegram)}
    found = []
    for reading in decoded.readings:
        stamp = stamps.get(reading.time)
        if stamp is None:
            assert reading.time is not None
            stamp = stamps[reading.time] = (microseconds(reading.time), 0)
        if not -_INT64 <= reading.value < _INT64:
            raise ModelError(f"{reading.register.channel} = {reading.value} is beyond 64 bits")
        found.append(
            Value(reading.register, stamp[0], reading.value, int(reading.quality) | stamp[1])
        )
    return tuple(found)


def _fallback(decoded: Decoded, telegram: Telegram) -> tuple[int, int]:
    """Time of readings without one: the telegram's stamp, or when the gateway took it."""
    if decoded.time is not None:
        return microseconds(decoded.time), 0
    return received_us(telegram), int(Quality.RECEIVED_TIME)


def microseconds(moment: datetime) -> int:
    """Microseconds since 2000. Raises ModelError for a time without a zone."""
    return (utc(moment) - EPOCH) // _MICROSECOND


def _result(body: bytes, counter: int) -> Outcome:
    try:
        return Outcome(result=decode_result(body), counter=counter)
    except WireError as error:
        return refuse(f"wire:{type(error).__name__.lower()}", error)


def _event(body: bytes, counter: int) -> Outcome:
    if len(body) > EVENT_BYTES_MAX or b"\\u0000" in body:
        return refuse("event", f"{len(body)} bytes, or a zero character that the store cannot hold")
    try:
        detail = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return refuse("event", error)
    kind = detail.pop("kind", None)
    if not isinstance(kind, str) or not 0 < len(kind) <= EVENT_KIND_MAX:
        return refuse("event", "an event has a kind of 1 to 64 characters")
    return Outcome(event=Event(kind, detail), counter=counter)
