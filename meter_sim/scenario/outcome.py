"""What a run found. The same for every driver; a fact that a driver cannot know is absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

FACTS: dict[str, str] = {
    "meters": "meters in the fleet",
    "joined": "meters with a way to a gateway at the end",
    "telegrams": "telegrams that a gateway has acknowledged",
    "telegrams_archived": "of these, in the head-end's archive",
    "telegrams_again": "archived too, though no gateway could acknowledge it: it died, or the line "
    "broke, and the meter sent it again",
    "telegrams_lost_in_field": "telegrams that the scenario lost on purpose",
    "telegrams_corrupted": "telegrams that the scenario damaged on purpose",
    "telegrams_refused": "times that a gateway did not take a telegram (it stayed with the meter)",
    "readings_expected": "readings that meters produced and that were not lost on purpose",
    "readings_stored": "of these, stored with the same value",
    "readings_wrong": "stored with another value",
    "readings_missing": "not stored",
    "readings_unknown": "stored, though no meter produced them",
    "readings_ambiguous": "instants for which a meter with a wrong clock said several values",
    "duplicates": "rows beyond the first of a meter, channel and instant",
    "quarantined": "telegrams in quarantine at the end",
    "read_success": "readings_stored / readings_expected",
    "catch_up_s": "seconds from the last telegram until the store no longer changed",
    "heal_s": "longest time until a meter cut off by a fault was heard again",
    "cut_off": "meters that lost their way by a fault",
    "feeder_loss_percent": "energy of feeder meters that no customer's meter counted, per cent",
    "theft_percent": "energy that thieves drew past their meters, per cent, as simulated",
    "idle_meters": "electricity meters that stored less than 0.3 kWh a day",
    "water_never_still": "water meters that stored no hour without flow",
    "days_local": "local days with readings, by the profile's zone",
    "readings_longest_day": "readings of one meter and channel on its longest local day",
    "readings_shortest_day": "the same on its shortest whole local day",
    "ledger_charged_mu": "charged to prepaid accounts",
    "ledger_expected_mu": "what their energy costs by the tariffs in force",
    "ledger_paid_mu": "paid into prepaid accounts, by the ledger",
    "ledger_topped_up_mu": "paid by the scenario",
    "latency_p95_s": "95th percentile of the time from a gateway's outbox to the archive",
    "commands": "commands that the scenario ordered",
    "commands_done": "of these, done: the relay was read back as wanted, or the answer came",
    "commands_failed": "of these, failed: the meter or its relay did not do it",
    "command_p95_s": "95th percentile of the time from order to result",
    "events": "events in the head-end; `events:KIND` counts one kind",
    "alarms": "outages that the head-end has named; `alarms:KIND` counts one kind of element",
    "alarms_open": "of these, not over yet",
    "alarm_meters": "meters in them",
    "tokens_sold": "tokens bought and keyed in at once",
    "tokens_accepted": "of these, taken",
    "tokens_again": "tokens keyed in a second time",
    "tokens_again_refused": "of these, refused as used",
    "tokens_kept": "tokens kept in a drawer",
    "tokens_kept_refused": "of these, refused after the roll-over",
    "key_changes": "meters that took all sections of a key change",
    "credit_added": "credit that the taken tokens added, tenths of a kWh",
    "credit_in_meters": "credit in the meters' registers at the end, tenths of a kWh",
    "energy_expected_wh": "energy that meters counted",
    "energy_stored_wh": "energy between the first and the last stored reading",
    "seconds": "seconds of the real clock",
}
"""Name -> meaning; the words that expectations may use."""
EVENTS_OF = "events:"
"""`events:KIND` is a fact too: events of one kind, 0 when there is none."""
ALARMS_OF = "alarms:"
"""So is `alarms:KIND`: outages of one kind of element, such as `feeder`."""
COUNTED = {EVENTS_OF: "events", ALARMS_OF: "alarms"}
"""Prefix -> the fact of all kinds together; a kind that is not there is 0 where that is known."""


def counts_of(fact: str) -> str | None:
    """The fact that counts all kinds, when `fact` counts one."""
    return next((whole for prefix, whole in COUNTED.items() if fact.startswith(prefix)), None)


class Key(NamedTuple):
    """Which reading: meter, channel, instant (an interval's END)."""

    meter: str
    channel: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """A record that is not as it should be.

    Attributes:
        record: which one.
        expected: its values in the register's unit, as text; `nothing` for one nobody produced.
        got: what is stored; `nothing` when it is missing.
        way: the places it came by, as far as it came.
    """

    record: Key
    expected: str
    got: str
    way: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """In one line."""
        meter, channel, time = self.record
        where = " > ".join(self.way)
        at = time.isoformat()
        return f"{meter} {channel} {at}: expected {self.expected}, got {self.got} ({where})"


@dataclass(frozen=True, slots=True)
class Happening:
    """A fault on the timeline, in seconds since the start."""

    what: str
    from_s: float
    to_s: float


@dataclass(slots=True)
class Outcome:
    """A run.

    Attributes:
        facts: name -> number.
        expected: what meters produced; several values only where a clock was wrong.
        got: what was stored.
        differences: first ones, in the order of time.
        timeline: the faults.
        digest: SHA-256 of the telegrams in the order of the meters' time: the same in every run
            of the same seed.
        notes: for people.
    """

    facts: dict[str, float] = field(default_factory=dict)
    expected: dict[Key, set[Decimal]] = field(default_factory=dict)
    got: dict[Key, Decimal] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    timeline: list[Happening] = field(default_factory=list)
    digest: str = ""
    notes: list[str] = field(default_factory=list)


def compare(
    expected: Mapping[Key, set[Decimal]], got: Mapping[Key, Decimal]
) -> tuple[dict[str, float], list[Key]]:
    """Facts of the readings, and the keys that differ, by time."""
    missing = [key for key in expected if key not in got]
    wrong = [key for key, values in expected.items() if key in got and got[key] not in values]
    unknown = [key for key in got if key not in expected]
    stored = len(expected) - len(missing) - len(wrong)
    facts: dict[str, float] = {
        "readings_expected": len(expected),
        "readings_stored": stored,
        "readings_missing": len(missing),
        "readings_wrong": len(wrong),
        "readings_unknown": len(unknown),
        "readings_ambiguous": sum(len(values) > 1 for values in expected.values()),
        "read_success": stored / len(expected) if expected else 1.0,
    }
    differing = sorted((*missing, *wrong, *unknown), key=lambda k: (k.time, k.meter, k.channel))
    return facts, differing


def difference(
    key: Key,
    expected: Mapping[Key, set[Decimal]],
    got: Mapping[Key, Decimal],
    way: tuple[str, ...],
) -> Difference:
    """One of the keys that `compare` named."""
    values = expected.get(key)
    wanted = "nothing" if values is None else " or ".join(f"{value:f}" for value in sorted(values))
    stored = got.get(key)
    return Difference(key, wanted, "nothing" if stored is None else f"{stored:f}", way)
