"""Faults and deeds of a fed scenario: what happens between two intervals."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from meter_sim.capture.benchline import decode_line, encode_line
from meter_sim.capture.taps import MqttTap
from meter_sim.replay.broker_target import BrokerTarget
from meter_sim.scenario import feed_facts
from meter_sim.scenario.feed_register import CURRENCY, PRICE_MU, TARIFF, account_of, introduce
from meter_sim.scenario.model import What, span_s
from meter_sim.scenario.outcome import Happening
from ohmesh.wire import topics
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.capture.record import Record
    from meter_sim.demo.audit import Audit
    from meter_sim.demo.client import HeadEnd
    from meter_sim.scenario.feed import Feed
    from meter_sim.scenario.model import Fault
    from meter_sim.scenario.sources import Source

LAST_GASP, RESTORED = "last_gasp", "power_restored"
_PATIENCE_S = 60.0
_LEDGER_WAIT_S = 60.0


class Faults:
    """The timeline of one run."""

    audit: Audit

    def __init__(self, feed: Feed) -> None:
        """Args: feed: whose run it is."""
        self._feed = feed
        self._dice = feed.fleet.dice
        self.timeline: list[Happening] = []
        self._on: list[Fault] = []
        self._chosen: dict[int, set[str]] = {}
        self._since_s: dict[int, float] = {}
        self._late: list[tuple[int, Record]] = []
        self._locks: dict[int, ExitStack] = {}
        self._prices: list[tuple[int, int]] = [(feed.start_ms, PRICE_MU)]
        self._tap: MqttTap | None = None
        self._uplinks: list[Record] = []
        self._todo = sorted(_moments(feed.scenario.fault), key=lambda m: (m[0], m[1]))
        self._begin: dict[What, Callable[[Fault], None]] = {
            What.GATEWAY: lambda f: self._kill([str(f.gateway)]),
            What.ALL_GATEWAYS: lambda _: self._kill(self._names),
            What.BROKER: lambda _: self._broker().stop(),
            What.DATABASE: lambda _: self._database().crash(),
            What.HEADEND: lambda _: feed.stack.kill("headend"),
            What.SLOW_DATABASE: self._lock,
            What.UPLINK_STORM: self._storm,
            What.CLOCK: lambda f: self._set_clocks(f, 1),
            What.DRIFT: lambda f: self._set_drift(f, 1),
            What.TARIFF: self._change_price,
            What.TOP_UP: self._top_up,
            What.OUTAGE: lambda f: self._tell_of(f, LAST_GASP, span_s(f.at)),
            What.EVENT: lambda f: self._tell_of(f, str(f.event), span_s(f.at)),
        }
        self._end: dict[What, Callable[[Fault], None]] = {
            What.GATEWAY: lambda f: self._revive([str(f.gateway)]),
            What.ALL_GATEWAYS: lambda _: self._revive(self._names),
            What.BROKER: lambda _: self._broker_back(),
            What.DATABASE: lambda _: self._database_back(),
            What.HEADEND: lambda _: feed.stack.restart("headend"),
            What.SLOW_DATABASE: lambda f: self._locks.pop(id(f)).close(),
            What.LATE: lambda _: self._tell_late(),
            What.CLOCK: lambda f: self._set_clocks(f, -1),
            What.DRIFT: lambda f: self._set_drift(f, -1),
            What.UNREGISTERED: self._register_late,
            What.OUTAGE: lambda f: self._tell_of(f, RESTORED, span_s(f.at) + span_s(f.lasts)),
        }

    # ------------------------------------------------------------ before

    def register(self) -> None:
        """Tell the head-end who is there, without those who shall come later."""
        later = [f for f in self._feed.scenario.fault if f.what is What.UNREGISTERED]
        absent = set().union(*(self._share(fault) for fault in later)) if later else set()
        present = [s for s in self._feed.fleet.sources if s.meter not in absent]
        self._feed.ask(lambda headend: self._introduce(headend, present))
        if any(f.what is What.UPLINK_STORM for f in self._feed.scenario.fault):
            url = BrokerUrl.parse(self._feed.stack.broker_url)
            self._tap = MqttTap(url, [topics.ALL_UPLINKS], 0)

    async def _introduce(self, headend: HeadEnd, sources: list[Source]) -> None:
        await introduce(headend, self._feed.scenario.fleet, self._names, sources)

    # ------------------------------------------------------------ the timeline

    def until(self, end_s: float) -> None:
        """Everything that begins or ends before a moment."""
        if self._tap is not None:
            self._uplinks += self._tap.read()
        while self._todo and self._todo[0][0] < end_s:
            at_s, begins, fault = self._todo.pop(0)
            if begins:
                self._start(fault, at_s)
            else:
                self._stop(fault)
        for mouth in self._feed.mouths:
            mouth.try_again()

    def finish(self) -> None:
        """End what has not ended; nothing is left broken."""
        for fault in list(self._on):
            self._stop(fault)
        if self._tap is not None:
            self._tap.close()

    def _start(self, fault: Fault, at_s: float) -> None:
        lasts_s = span_s(fault.lasts)
        self.timeline.append(Happening(_title(fault), at_s, at_s + lasts_s))
        self._on.append(fault)
        self._since_s[id(fault)] = time.monotonic()
        self._share(fault)
        begin = self._begin.get(fault.what)
        if begin is not None:
            begin(fault)

    def _stop(self, fault: Fault) -> None:
        if fault not in self._on:
            return
        time.sleep(max(0.0, self._since_s[id(fault)] + fault.holds_s - time.monotonic()))
        self._on.remove(fault)
        end = self._end.get(fault.what)
        if end is not None:
            end(fault)

    def _active(self, what: What, source: Source) -> Fault | None:
        """A running fault of a kind that concerns a meter."""
        for fault in self._on:
            if fault.what is what and source.meter in self._share(fault):
                return fault
        return None

    def _share(self, fault: Fault) -> set[str]:
        """The meters that a fault concerns: drawn once."""
        if id(fault) not in self._chosen:
            meters = [s.meter for s in self._feed.fleet.sources if not s.is_feeder]
            count = round(len(meters) * fault.share_percent / 100)
            self._chosen[id(fault)] = set(self._dice.sample(meters, count))
        return self._chosen[id(fault)]

    # ------------------------------------------------------------ telegrams

    def is_dark(self, source: Source) -> bool:
        """No supply where the meter hangs."""
        return any(f.what is What.OUTAGE and self._concerns(f, source) for f in self._on)

    def _tell_of(self, fault: Fault, kind: str, at_s: int) -> None:
        """Every meter that a fault concerns tells an event; a last gasp may get lost."""
        lost_percent = fault.percent or 0 if kind == LAST_GASP else 0
        for index, source in enumerate(self._feed.fleet.sources):
            if source.key is None or not self._concerns(fault, source):
                continue
            record = source.event(kind, self._feed.start_ms + at_s * 1000)
            if self._dice.random() * 100 >= lost_percent:
                self._feed.note(record)
                self.deliver(index, source, record)

    def _concerns(self, fault: Fault, source: Source) -> bool:
        if fault.what is What.OUTAGE:
            return fault.feeder in {None, source.feeder}
        return source.meter in self._share(fault)

    def spoil(self, source: Source, record: Record) -> Record | None:
        """The telegram as it leaves the meter's neighbourhood: whole, damaged, or not at all."""
        loss, corrupt = self._active(What.LOSS, source), self._active(What.CORRUPT, source)
        if loss is not None and self._dice.random() * 100 < (loss.percent or 0):
            return None
        if corrupt is not None and self._dice.random() * 100 < (corrupt.percent or 0):
            return self._damaged(record)
        return record

    def _damaged(self, record: Record) -> Record:
        line = decode_line(record.payload)
        octets = bytearray(line.payload)
        octets[self._dice.randrange(len(octets) // 4, len(octets) * 3 // 4)] ^= 0x15
        again = encode_line(msgspec.structs.replace(line, payload_hex=octets.hex()))
        return msgspec.structs.replace(record, payload=again)

    def deliver(self, index: int, source: Source, record: Record) -> None:
        """On its way to a gateway: now, several times, or later."""
        if self._active(What.LATE, source) is not None:
            self._late.append((index, record))
            return
        doubled = self._active(What.DUPLICATES, source)
        for copy in range(1 if doubled is None else doubled.times or 1):
            self._feed.hear(index + copy, record)

    def _tell_late(self) -> None:
        self._dice.shuffle(self._late)
        for index, record in self._late:
            self._feed.hear(index, record)
        self._late.clear()

    def _set_clocks(self, fault: Fault, sign: int) -> None:
        for source in self._feed.fleet.sources:
            if source.meter in self._share(fault):
                source.clock_ms += sign * 1000 * (fault.seconds or 0)

    def _set_drift(self, fault: Fault, sign: int) -> None:
        for source in self._feed.fleet.sources:
            if source.meter in self._share(fault):
                source.drift_ms_per_day += sign * 1000 * (fault.seconds or 0)

    # ------------------------------------------------------------ programs and servers

    @property
    def _names(self) -> list[str]:
        return list(self._feed.stack.bench_ports)

    def _kill(self, names: list[str]) -> None:
        for name in names:
            self._feed.stack.kill(name)
        for mouth in self._feed.mouths:
            if mouth.gateway in names:
                mouth.shut()

    def _revive(self, names: list[str]) -> None:
        for name in names:
            self._feed.stack.restart(name)
        for mouth in self._feed.mouths:
            if mouth.gateway in names:
                mouth.open()

    def _broker(self) -> Any:
        return self._feed.stack.broker

    def _broker_back(self) -> None:
        self._broker().start()
        if self._tap is not None:
            url = BrokerUrl.parse(self._feed.stack.broker_url)
            self._tap = MqttTap(url, [topics.ALL_UPLINKS], 0)

    def _database(self) -> Any:
        return self._feed.stack.database

    def _database_back(self) -> None:
        self._database().start()
        self.audit.reopen()

    def _lock(self, fault: Fault) -> None:
        self._locks[id(fault)] = ExitStack()
        self._locks[id(fault)].enter_context(self.audit.readings_locked())

    def _storm(self, fault: Fault) -> None:
        """All uplinks so far once more, and once more."""
        assert self._tap is not None
        for mouth in self._feed.mouths:
            mouth.finish(_PATIENCE_S)
        time.sleep(1)  # what the gateways have just taken is on its way to the tap
        self._uplinks += self._tap.read()
        url = BrokerUrl.parse(self._feed.stack.broker_url)
        with closing(BrokerTarget(url, qos=1, patience_s=_PATIENCE_S)) as target:
            for _ in range(fault.times or 1):
                for record in self._uplinks:
                    target.send(record)
            target.finish()

    # ------------------------------------------------------------ money

    def _change_price(self, fault: Fault) -> None:
        price_mu = fault.price_mu_per_kwh or 0
        at_ms = self._feed.start_ms + span_s(fault.at) * 1000
        self._prices.append((at_ms, price_mu))
        valid_from = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
        self._feed.ask(lambda h: h.add_tariff(TARIFF, CURRENCY, price_mu, valid_from))

    def _top_up(self, fault: Fault) -> None:
        amount_mu, at_s = fault.amount_mu or 0, span_s(fault.at)
        accounts = [account_of(s) for s in self._feed.fleet.sources if s.prepaid]

        async def pay(headend: HeadEnd) -> None:
            for account in accounts:
                await headend.top_up(account, amount_mu, f"{account}-{at_s}")

        self._feed.ask(pay)
        self._feed.counts.topped_up_mu += amount_mu * len(accounts)

    def ledger(self) -> dict[str, float]:
        """What the ledger says, once it has caught up, and what it should say."""
        sources = [s for s in self._feed.fleet.sources if s.prepaid]
        expected_mu = feed_facts.cost_mu(sources, self._feed.counts.expected, self._prices)
        deadline = time.monotonic() + _LEDGER_WAIT_S
        while True:
            charged_mu, paid_mu = self._feed.ask(lambda h: _booked(h, sources))
            if charged_mu == expected_mu or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return {
            "ledger_charged_mu": charged_mu,
            "ledger_expected_mu": expected_mu,
            "ledger_paid_mu": paid_mu,
            "ledger_topped_up_mu": self._feed.counts.topped_up_mu,
        }

    def _register_late(self, fault: Fault) -> None:
        late = [s for s in self._feed.fleet.sources if s.meter in self._share(fault)]
        self._feed.ask(lambda headend: self._introduce(headend, late))


async def _booked(headend: HeadEnd, sources: list[Source]) -> tuple[int, int]:
    """(charged, paid) of the accounts, in mu."""
    charged = paid = 0
    for source in sources:
        for line in await headend.transfers(account_of(source)):
            charged += line["amount_mu"] if line["code"] == "energy" else 0
            paid += line["amount_mu"] if line["code"] == "topup" else 0
    return charged, paid


def _moments(faults: list[Fault]) -> list[tuple[float, bool, Fault]]:
    """(seconds since the start, whether it begins, fault), ends first at the same moment."""
    found: list[tuple[float, bool, Fault]] = []
    for fault in faults:
        at_s = span_s(fault.at)
        found.append((at_s, True, fault))
        found.append((at_s + span_s(fault.lasts) + 1e-6, False, fault))
    return found


def _title(fault: Fault) -> str:
    subject = fault.gateway or fault.node or (f"feeder {fault.feeder}" if fault.feeder else "")
    return f"{fault.what.value} {subject}".strip()
