"""What a scenario file may say. Read strictly: a word that has no meaning is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
SPAN: Final = r"^(\d+(d|h|min|s))+$"
Span = Annotated[str, msgspec.Meta(pattern=SPAN)]
"""A stretch of time: `90min`, `2h30min`, `45s`, `7d`."""
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class Driver(StrEnum):
    """Who makes the scenario happen."""

    FEED = "feed"
    """Virtual time through real gateways, broker, head-end and database: telegrams go into the
    gateways' bench ports as fast as they are taken. No mesh."""
    STACK = "stack"
    """Everything in real time, the mesh on a simulated radio; the calendar runs faster."""
    KEYPAD = "keypad"
    """Prepayment tokens between a vending desk and meters, on virtual time. No servers."""
    STREET = "street"
    """The mesh alone, on virtual time in one process: meters, radio and roots. No servers."""


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is there.

    Attributes:
        meters: how many.
        gateways: how many.
        profiles: dealt out to the meters in turn.
        start: simulated time at the beginning, with a zone.
        days_ago: it begins so many days before today, 00:00 UTC, instead; for what looks at the
            calendar, such as rating, which leaves readings alone that are too old.
        lasts: how long meters measure; of the calendar with `feed`, of the mesh's clock otherwise.
        interval_s: load-profile interval.
        prepaid: how many meters, from the first on, belong to prepaying customers.
        sealed: all telegrams travel under their meter's seal (`feed`; with `stack` they always
            do), and meters tell events: last gasps in an outage too.
        feeders: transformers; meter n hangs on feeder n modulo this. Each has a meter of its own
            (`F1` ...) when `feeder_meters`.
        heard_by: gateways that hear a meter; with 2 another one takes over.
        outbox_bytes: size at which a gateway takes no more.
        calendar_speed: `stack`, `street`: how much faster than the clock the calendar runs.
        timer_divisor: `stack`, `street`: how much faster mesh timers and radio run.
    """

    meters: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 12
    gateways: Annotated[int, msgspec.Meta(ge=1, le=99)] = 2
    profiles: Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["nl_dsmr"]
    )
    start: Annotated[datetime, msgspec.Meta(tz=True)] = datetime(2025, 1, 1, tzinfo=UTC)
    days_ago: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = None
    lasts: Span = "24h"
    interval_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900
    prepaid: Annotated[int, msgspec.Meta(ge=0)] = 0
    sealed: bool = False
    feeders: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    feeder_meters: bool = False
    heard_by: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1
    outbox_bytes: Annotated[int, msgspec.Meta(ge=131_072)] | None = None
    calendar_speed: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 450
    timer_divisor: Annotated[int, msgspec.Meta(ge=1, le=20)] = 20


class LoadKind(StrEnum):
    """What a customer has or does, on top of an ordinary household."""

    STANDARD = "standard"
    """A standard profile instead of the household: `path` of a table (BDEW's CSV), `annual_kwh`;
    public holidays of a `region` (`DE`, `DE-BY`) are like Sundays."""
    MEASURED = "measured"
    """A measured curve instead: `path` of a CSV and its `column`."""
    PV = "pv"
    HEAT_PUMP = "heat_pump"
    EV = "ev"
    THEFT = "theft"
    """The meter sees `percent` less than what is drawn."""
    EMPTY = "empty"
    """Nobody is at home."""
    GAS = "gas"
    """A gas meter behind the electricity meter (`gas.volume`)."""
    WATER = "water"
    """A water meter instead of the electricity meter (`water.volume`)."""
    WATER_LEAK = "water_leak"
    """The same, and `litres_per_h` run away day and night."""


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which customers have it: the first `meters` of a seeded shuffle, or a share of all."""

    kind: LoadKind
    share_percent: _Percent | None = None
    meters: _Positive | None = None
    peak_w: _Positive | None = None
    percent: _Percent | None = None
    litres_per_h: _Positive | None = None
    annual_kwh: _Positive | None = None
    region: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    path: str | None = None
    column: str | None = None


class What(StrEnum):
    """What goes wrong, or is done."""

    KILL_NODE = "kill_node"
    """`street`, `stack`: a meter's radio dies; it measures on. `node` is busiest, or M0001."""
    LOSE_LINKS = "lose_links"
    """`street`, `stack`: links of a share of the meters lose `percent` of all frames."""
    PARTITION = "partition"
    """`street`: no frame passes between the two halves of the street."""
    GATEWAY = "gateway"
    """A gateway is killed, and started again at the end."""
    ALL_GATEWAYS = "all_gateways"
    """All of them at once: they all come back together."""
    BROKER = "broker"
    """The broker is away; what it held is lost."""
    DATABASE = "database"
    """The database's power is cut."""
    HEADEND = "headend"
    """The head-end is killed."""
    SLOW_DATABASE = "slow_database"
    """Nobody can write readings."""
    DUPLICATES = "duplicates"
    """Every telegram is taken `times` times, by all gateways in turn."""
    UPLINK_STORM = "uplink_storm"
    """All uplink messages so far come again, `times` times."""
    LATE = "late"
    """A share of the meters is heard only at the end, in disorder."""
    LOSS = "loss"
    """`percent` of the telegrams never reach a gateway."""
    CORRUPT = "corrupt"
    """In `percent` of the telegrams a byte is wrong."""
    CLOCK = "clock"
    """Clocks of a share of the meters are `seconds` ahead."""
    DRIFT = "drift"
    """They run `seconds` a day too fast."""
    OUTAGE = "outage"
    """A `feeder`, or all, is dark: nothing is drawn, no meter speaks. In a `sealed` fleet each
    says its last gasp, of which `percent` get lost, and that its power is restored."""
    EVENT = "event"
    """A share of the meters tells an `event`, such as cover_opened or magnet."""
    STUCK_RELAY = "stuck_relay"
    """`stack`: the contact of a meter's relay does not move."""
    BYPASS = "bypass"
    """`stack`: somebody has laid a wire around the relay; the meter still measures."""
    TARIFF = "tariff"
    """The prepaid tariff's price becomes `price_mu_per_kwh`."""
    TOP_UP = "top_up"
    """Every prepaying customer pays `amount_mu`."""
    COMMAND = "command"
    """`stack`: a meter, or a share of them, gets a `command`: relay_off, relay_on, read_now."""
    ROLLOVER = "rollover"
    """`keypad`: key changes with the roll-over bit move every meter to the next base date."""
    UNREGISTERED = "unregistered"
    """A share of the meters is not registered before the end of it."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing on the timeline.

    Attributes:
        what: its kind.
        at: since the start; with `street` and `stack` since all meters have joined.
        lasts: until it is over.
        holds_s: it lasts at least so many seconds of the real clock too (`feed`).
    """

    what: What
    at: Span = "0s"
    lasts: Span = "0s"
    holds_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 0
    gateway: _Id | None = None
    node: _Id | None = None
    feeder: _Positive | None = None
    share_percent: _Percent = 100
    percent: _Percent | None = None
    times: Annotated[int, msgspec.Meta(ge=2, le=1000)] | None = None
    seconds: int | None = None
    command: Literal["relay_off", "relay_on", "relay_read", "read_now"] | None = None
    event: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = None
    price_mu_per_kwh: Annotated[int, msgspec.Meta(ge=0)] | None = None
    amount_mu: _Positive | None = None


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold of a fact at the end: equal to a number or another fact, or within bounds."""

    fact: str
    equals: float | str | None = None
    min: float | None = None
    max: float | None = None


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file.

    Attributes:
        name: after what it proves.
        proves: the same in a sentence.
        driver: who makes it happen.
        seed: of everything that is random about it.
        soak: too long for every run of the tests.
    """

    name: _Name
    proves: str
    driver: Driver
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    soak: bool = False
    fleet: Fleet = msgspec.field(default_factory=Fleet)
    load: list[Load] = msgspec.field(default_factory=list)
    fault: list[Fault] = msgspec.field(default_factory=list)
    expect: Annotated[list[Expect], msgspec.Meta(min_length=1)]


_UNIT_S = {"d": 86_400, "h": 3600, "min": 60, "s": 1}


def span_s(text: str) -> int:
    """Seconds of a `Span`."""
    total, number = 0, ""
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        number, rest = rest[:digits], rest[digits:]
        unit = next(u for u in ("min", "d", "h", "s") if rest.startswith(u))
        total += int(number) * _UNIT_S[unit]
        rest = rest[len(unit) :]
    return total
