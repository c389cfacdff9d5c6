"""The driver `feed`: virtual time through real gateways, broker, head-end and database.

Theory of operation. The calendar goes from interval to interval. At each end every meter counts up
to it and says what it has to; its telegram goes into the bench port of a gateway that hears it, and
stays with the meter until that gateway has committed it. Faults begin and end between intervals.
When the last interval is fed, everything that a gateway has committed must reach the archive; then
the table is compared with what the meters said, reading by reading.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from meter_sim.demo.audit import Audit
from meter_sim.demo.client import HeadEnd
from meter_sim.demo.options import Options
from meter_sim.demo.stack import Stack
from meter_sim.scenario import feed_facts
from meter_sim.scenario.feed_faults import Faults
from meter_sim.scenario.mesh import alarm_facts, event_facts
from meter_sim.scenario.model import span_s
from meter_sim.scenario.mouth import Mouth
from meter_sim.scenario.outcome import Key, Outcome, compare, difference
from meter_sim.scenario.sources import build_fleet
from meter_sim.scenario.watch import Watch
from meter_sim.servers.process import ServerError
from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal
    from pathlib import Path

    from meter_sim.capture.record import Record
    from meter_sim.capture.writer import CaptureWriter
    from meter_sim.roster import Roster
    from meter_sim.scenario.model import Scenario
    from meter_sim.scenario.sources import Source

DIFFERENCES_MAX = 50
PATIENCE_S = 180.0
_POLL_S = 0.1
_STILL_S = 3.0


class ScenarioError(OhmeshError):
    """A run that did not come to its end."""


@dataclass(slots=True)
class Counts:
    """What the driver itself counts while it feeds."""

    answered: set[tuple[str, int, int]] = field(default_factory=set)
    ways: dict[tuple[str, int], tuple[str, int, int]] = field(default_factory=dict)
    keys: dict[Key, tuple[str, int]] = field(default_factory=dict)
    expected: dict[Key, set[Decimal]] = field(default_factory=dict)
    lost: int = 0
    corrupted: int = 0
    topped_up_mu: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Feed:
    """One run."""

    def __init__(
        self, scenario: Scenario, roster: Roster, folder: Path, capture: CaptureWriter | None
    ) -> None:
        """Args: folder: where relative paths of curves begin. capture: gets every telegram."""
        self.scenario = scenario
        self.fleet = build_fleet(scenario, folder)
        self.counts = Counts()
        self._capture = capture
        self.stack = Stack(_options(), roster, mesh=False, outbox_bytes=scenario.fleet.outbox_bytes)
        self.mouths: list[Mouth] = []
        self.start_ms = round(scenario.fleet.start.timestamp() * 1000)
        self._faults = Faults(self)
        self._watch = Watch()
        self._last_fed_s = 0.0

    def run(self) -> Outcome:
        """From nothing to the count. Raises ScenarioError, ServerError, ConfigError."""
        began_s = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self.stack)
            self.stack.start()
            self._until("the head-end to serve", lambda: self.ask(HeadEnd.ready))
            self._open()
            stack.callback(self._shut)
            audit = stack.enter_context(closing(Audit(self.stack.audit_url)))
            self._faults.audit = audit
            stack.enter_context(self._watch.over(self.stack.audit_url))
            self._faults.register()
            self._feed()
            self._last_fed_s = time.monotonic()
            self._settle(audit)
            self._watch.end()
            outcome = self._count(audit)
        outcome.facts["seconds"] = round(time.monotonic() - began_s, 2)
        return outcome

    def ask(self, call: Callable[[HeadEnd], Awaitable[Any]]) -> Any:
        """One conversation with the head-end's API; held again while it is out of service.

        All our calls may be repeated: registering is, and payments carry an idempotency key.
        """

        async def conversation() -> Any:
            async with HeadEnd(self.stack.api_url, self.stack.token) as headend:
                return await call(headend)

        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return asyncio.run(conversation())
            except (httpx.HTTPStatusError, httpx.TransportError) as error:
                if not _passes(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_S)

    # ------------------------------------------------------------ feeding

    def _open(self) -> None:
        ports = self.stack.bench_ports.items()
        self.mouths = [Mouth(name, port, self._answered) for name, port in ports]
        for mouth in self.mouths:
            mouth.open()

    def _shut(self) -> None:
        for mouth in self.mouths:
            mouth.shut()

    def _feed(self) -> None:
        interval_s, lasts_s = self.scenario.fleet.interval_s, span_s(self.scenario.fleet.lasts)
        for end_s in range(interval_s, lasts_s + 1, interval_s):
            self._faults.until(end_s)
            at_ms = self.start_ms + end_s * 1000
            for index, source in enumerate(self.fleet.sources):
                self._speak(index, source, at_ms)
        self._faults.until(lasts_s + 1)
        self._faults.finish()

    def _speak(self, index: int, source: Source, at_ms: int) -> None:
        dark = self._faults.is_dark(source)
        source.pass_time(at_ms, dark=dark)
        if dark:
            return
        stamp_ms = source.stamp_ms(at_ms, self.start_ms)
        record, values = source.telegram(at_ms, stamp_ms)
        self.note(record)
        spoilt = self._faults.spoil(source, record)
        if spoilt is None:
            self.counts.lost += 1
            return
        if spoilt is record:
            self._promise(values, (source.meter, record.at_us))
        else:
            self.counts.corrupted += 1
        self._faults.deliver(index, source, spoilt)

    def note(self, record: Record) -> None:
        """A meter has sent it, whatever becomes of it."""
        self.counts.digest.update(record.payload)
        if self._capture is not None:
            self._capture.write(record)

    def _promise(self, values: dict[Key, Decimal], telegram: tuple[str, int]) -> None:
        """From here on nobody may lose it."""
        for key, value in values.items():
            self.counts.expected.setdefault(key, set()).add(value)
            self.counts.keys.setdefault(key, telegram)

    def hear(self, index: int, record: Record) -> None:
        """A gateway hears a meter: its own, or the next one that is up."""
        reach = self.scenario.fleet.heard_by
        near = [self.mouths[(index + n) % len(self.mouths)] for n in range(reach)]
        next((mouth for mouth in near if mouth.up), near[0]).hear(record)

    def _answered(self, gateway: str, record: Record, epoch: int, seq: int) -> None:
        self.counts.answered.add((gateway, epoch, seq))
        self._watch.taken()
        self.counts.ways.setdefault((record.place, record.at_us), (gateway, epoch, seq))

    # ------------------------------------------------------------ the count

    def _settle(self, audit: Audit) -> None:
        for mouth in self.mouths:
            mouth.finish(PATIENCE_S)
        wanted = len(self.counts.answered)
        while (there := audit.telegrams()) < wanted:
            what = f"{wanted} telegrams in the archive, which has {there}"
            self._until(what, partial(_grown, audit, there))
        self._until("the head-end to look at outages", lambda: not audit.outages_waiting())
        deadline, before, since_s = time.monotonic() + PATIENCE_S, -1, time.monotonic()
        while time.monotonic() < deadline:
            now = audit.all_readings()
            if now == len(self.counts.expected) or time.monotonic() - since_s > _STILL_S:
                return
            if now != before:
                before, since_s = now, time.monotonic()
            time.sleep(_STILL_S / 10)

    def _count(self, audit: Audit) -> Outcome:
        expected, got = self.counts.expected, _keyed(audit)
        answered, archived = self.counts.answered, set(audit.archived())
        facts, differing = compare(expected, got)
        facts |= {
            "meters": len(self.fleet.sources),
            "telegrams": len(answered),
            "telegrams_archived": len(answered & archived),
            "telegrams_again": len(archived - answered),
            "telegrams_lost_in_field": self.counts.lost,
            "telegrams_corrupted": self.counts.corrupted,
            "telegrams_refused": sum(mouth.refused for mouth in self.mouths),
            "duplicates": audit.duplicates(),
            "quarantined": audit.quarantined(),
            "catch_up_s": round(time.monotonic() - self._last_fed_s, 2),
        }
        facts |= feed_facts.of_energy(self.fleet.sources, expected, got)
        facts |= feed_facts.of_days(self.fleet.sources, got)
        facts |= event_facts(audit) | alarm_facts(audit) | {"latency_p95_s": self._watch.p95_s()}
        if self.scenario.fleet.prepaid:
            facts |= self._faults.ledger()
        first = differing[:DIFFERENCES_MAX]
        return Outcome(
            facts=facts,
            expected=expected,
            got=got,
            differences=[difference(k, expected, got, self._way(k, audit)) for k in first],
            timeline=self._faults.timeline,
            digest=self.counts.digest.hexdigest(),
        )

    def _way(self, key: Key, audit: Audit) -> tuple[str, ...]:
        """How far the telegram of a reading came."""
        telegram = self.counts.keys.get(key)
        if telegram is None:
            return ("no meter sent it",)
        way = self.counts.ways.get(telegram)
        if way is None:
            return (f"meter {key.meter}", "no gateway has acknowledged it")
        gateway, epoch, seq = way
        archived, reason = audit.stage(gateway, epoch, seq)
        places = [f"meter {key.meter}", f"gateway {gateway}, outbox {epoch}, number {seq}"]
        places.append("head-end's archive" if archived else "never archived")
        return (*places, f"quarantine: {reason}") if reason else tuple(places)

    def _until(self, what: str, true: Callable[[], bool]) -> None:
        deadline, asked_s = time.monotonic() + PATIENCE_S, time.monotonic()
        while not true():
            self.stack.check()
            if time.monotonic() > deadline:
                raise ScenarioError(f"{self.scenario.name}: waited {PATIENCE_S:g} s for {what}")
            time.sleep(max(_POLL_S, time.monotonic() - asked_s))
            asked_s = time.monotonic()


def _passes(error: httpx.HTTPError) -> bool:
    """True for what another try may mend."""
    unavailable = httpx.codes.SERVICE_UNAVAILABLE
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == unavailable
    return isinstance(error, httpx.TransportError)


def _grown(audit: Audit, count: int) -> bool:
    return audit.telegrams() > count


def _keyed(audit: Audit) -> dict[Key, Decimal]:
    return {Key(*key): value for key, value in audit.readings().items()}


def _options() -> Options:
    return Options(
        meters=0,
        seed=0,
        telegrams=None,
        serve=False,
        truth=None,
        database=None,
        broker=None,
        quiet=True,
    )


__all__ = ["Feed", "ScenarioError", "ServerError"]
