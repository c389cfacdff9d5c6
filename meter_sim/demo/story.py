"""What happens in the demo, in order, each part measured by what it can see from outside.

Seconds in the result count on the clock, from the start of the command unless said otherwise:
    first_reading_s   the first reading of a meter is in the table
    heal_s            from the death of the relay until every meter behind it that still can reach
                      a gateway has an interval in the table that was closed after the death
    cutoff_s          a relay that the head-end opened for want of credit was read back open
    restore_s         from the top-up until the relay was read back closed
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meter_sim.demo import bench_port, topology
from meter_sim.register import register

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meter_sim.demo.air import Air
    from meter_sim.demo.audit import Audit, Verdict
    from meter_sim.demo.client import HeadEnd
    from meter_sim.demo.records import BenchRecord
    from meter_sim.demo.stack import Stack
    from meter_sim.demo.view import View
    from meter_sim.roster import RosterMeter

_POLL_S = 0.1
ACCOUNT = "A0001"
CURRENCY = "EUR"
PRICE_MU_PER_KWH = 30_000
"""0.30 EUR per kWh."""
_CREDIT_INTERVALS = 6
"""The customer's first credit lasts about so many intervals of what the meter used last."""
_TOP_UP_MU = 2_000_000
"""20.00 EUR."""
_TIMEOUT_S = 300


class DemoError(Exception):
    """A part of the story that did not come to its end in time."""


@dataclass(slots=True)
class Facts:
    """What was measured; field names are those of the last line."""

    meters: int = 0
    joined: int = 0
    readings_expected: int = 0
    readings_stored: int = 0
    read_success: float = 0.0
    duplicates_in_db: int = 0
    heal_s: float | None = None
    first_reading_s: float | None = None
    cutoff_s: float | None = None
    restore_s: float | None = None
    telegrams_in: int = 0
    telegrams_stored: int = 0
    telegrams_decoded: int = 0
    readings_wrong: int = 0
    readings_unknown: int = 0
    quarantined: int = 0
    relay_killed: str | None = None
    survivors_behind_it: int = 0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """All promises of the demo were kept."""
        return (
            self.joined == self.meters
            and self.readings_stored == self.readings_expected > 0
            and self.duplicates_in_db == self.readings_wrong == self.readings_unknown == 0
            and self.telegrams_stored == self.telegrams_in
            and (self.heal_s is not None or self.relay_killed is None)
            and None not in (self.first_reading_s, self.cutoff_s, self.restore_s)
        )


@dataclass(slots=True)
class Story:
    """The demo's thread; `tell` runs all parts."""

    stack: Stack
    view: View
    air: Air
    headend: HeadEnd
    audit: Audit
    records: list[BenchRecord]
    began_s: float
    facts: Facts = field(default_factory=Facts)

    async def tell(self) -> Facts:
        """All parts in order. Raises DemoError when one does not come to its end."""
        self.facts.meters = len(self.stack.roster.meters)
        await self._register()
        await self._join()
        await self._first_readings()
        killed = await self._break_a_relay()
        await self._wallet()
        if killed is not None:
            await self._repair(killed)
        await self._telegrams()
        await self._count()
        self.facts.seconds = self._elapsed_s()
        return self.facts

    # ------------------------------------------------------------ the parts

    async def _register(self) -> None:
        self.view.chapter("Meters, gateways and head-end")
        await self._until("the head-end to serve", self.headend.ready)
        roster = self.stack.roster
        await register(self.stack.api_url, self.stack.token, roster, roster.meters)
        self.view.fact("registered", f"{self.facts.meters} meters, 2 gateways")

    async def _join(self) -> None:
        self.view.chapter("A mesh forms by itself")
        with self.view.bar("joined", self.facts.meters) as bar:

            async def joined() -> bool:
                self.facts.joined = max(self.facts.joined, self.air.joined)
                bar.at(self.facts.joined, f"{self.facts.joined}/{self.facts.meters}")
                await self._look_for_first_reading()
                return self.facts.joined == self.facts.meters

            await self._until("all meters to join", joined)
        self.view.fact("joined", f"{self.facts.joined} of {self.facts.meters} meters")

    async def _first_readings(self) -> None:
        self.view.chapter("Readings arrive, sealed end to end, stored once")
        wanted = 3 * self.facts.meters
        with self.view.bar("readings", wanted) as bar:

            async def enough() -> bool:
                await self._look_for_first_reading()
                stored = await asyncio.to_thread(self.audit.mesh_readings)
                bar.at(min(stored, wanted), f"{stored} stored")
                return stored >= wanted

            await self._until("readings of the whole street", enough)
        self.view.fact("first reading stored after", f"{self.facts.first_reading_s:.1f} s")

    async def _look_for_first_reading(self) -> None:
        if self.facts.first_reading_s is not None:
            return
        if await asyncio.to_thread(self.audit.mesh_readings):
            self.facts.first_reading_s = self._elapsed_s()

    async def _break_a_relay(self) -> int | None:
        self.view.chapter("Break the relay that carries most meters")
        nodes: dict[int, dict[str, Any]] = {}
        killed: int | None = None
        spared = {self._customer.node}

        async def picture() -> bool:
            nonlocal nodes, killed
            nodes = await self.headend.topology()
            known = [n for n in nodes.values() if n["kind"] == "meter" and n["parent"] is not None]
            killed = topology.busiest_relay(nodes, spared)
            return len(known) == self.facts.meters

        await self._until("the gateways to report the mesh", picture)
        if killed is None:
            self.view.say("every meter reaches a gateway itself: there is no relay to break")
            return None
        names = {meter.node: meter.meter for meter in self.stack.roster.meters}
        behind = [names[n] for n in topology.descendants(nodes)[killed]]
        self.facts.relay_killed = names[killed]
        self.facts.survivors_behind_it = len(behind)
        self.view.say(f"{names[killed]} carries {len(behind)} other meters; its radio dies now")
        died_s, died_at = time.monotonic(), self.air.calendar
        self.air.kill(killed)
        waiting = set(behind)
        with self.view.bar("healed", len(behind)) as bar:

            async def healed() -> bool:
                newest = await asyncio.to_thread(self.audit.newest, waiting)
                waiting.difference_update(m for m, ts in newest.items() if ts > died_at)
                bar.at(len(behind) - len(waiting), f"{len(behind) - len(waiting)}/{len(behind)}")
                return not waiting

            await self._until("the meters behind it to find another way", healed)
        self.facts.heal_s = round(time.monotonic() - died_s, 2)
        self.view.fact("every meter behind it is heard again after", f"{self.facts.heal_s:.1f} s")
        return killed

    async def _wallet(self) -> None:
        self.view.chapter("A prepaid customer runs out of credit, pays, and is back")
        meter = self._customer
        await self.headend.open_account(
            ACCOUNT, meter.meter, currency=CURRENCY, price_mu_per_kwh=PRICE_MU_PER_KWH
        )
        credit_mu = await self._few_intervals_mu(meter)
        await self.headend.top_up(ACCOUNT, credit_mu, "first-credit")
        self.view.say(f"{meter.meter} has {_money(credit_mu)} at 0.30 {CURRENCY}/kWh")
        with self.view.bar("credit", credit_mu) as bar:

            async def cut() -> bool:
                account = await self.headend.account(ACCOUNT)
                bar.at(max(0, account["balance_mu"]), _money(account["balance_mu"]))
                return bool(account["supply_actual"] == "disconnected")

            await self._until("the relay to be read back open", cut)
        self.facts.cutoff_s = self._elapsed_s()
        self.view.fact("cut off, relay read back open, at", f"{self.facts.cutoff_s:.1f} s")
        paid_s = time.monotonic()
        await self.headend.top_up(ACCOUNT, _TOP_UP_MU, "second-credit")

        async def restored() -> bool:
            return bool((await self.headend.account(ACCOUNT))["supply_actual"] == "connected")

        await self._until("the relay to be read back closed", restored)
        self.facts.restore_s = round(time.monotonic() - paid_s, 2)
        self.view.fact(
            f"paid {_money(_TOP_UP_MU)}, relay read back closed after",
            f"{self.facts.restore_s:.1f} s",
        )

    async def _few_intervals_mu(self, meter: RosterMeter) -> int:
        """What a few intervals like the meter's newest cost."""
        values: list[int] = []

        async def one_interval() -> bool:
            nonlocal values
            values = await self.headend.newest(meter, "el.energy.import", 2)
            return len(values) == 2

        await self._until("the customer's first interval", one_interval)
        return max(1, values[0] - values[1]) * _CREDIT_INTERVALS * PRICE_MU_PER_KWH // 1000

    async def _repair(self, killed: int) -> None:
        self.view.chapter("The broken meter is repaired: what it stored meanwhile arrives")
        self.air.revive(killed)

        async def back() -> bool:
            return self.air.joined == self.facts.meters

        await self._until("the repaired meter to join", back)
        self.view.fact("joined again", str(self.facts.relay_killed))

    async def _telegrams(self) -> None:
        self.view.chapter("Telegrams of real meter types go the same way")
        for record in self.records:
            if record.profile:
                await self.headend.register_meter(record.meter, record.profile)
        self.facts.telegrams_in = await bench_port.feed(self.stack.bench_port, self.records)

        async def archived() -> bool:
            self.facts.telegrams_stored = await asyncio.to_thread(self.audit.telegrams)
            return self.facts.telegrams_stored >= self.facts.telegrams_in

        await self._until("the telegrams to be archived", archived)
        self.facts.telegrams_decoded = await asyncio.to_thread(self.audit.telegrams_decoded)
        stored, decoded = self.facts.telegrams_stored, self.facts.telegrams_decoded
        self.view.fact("stored", f"{stored} of {self.facts.telegrams_in}")
        rest = f"; {stored - decoded} are in quarantine with the reason" if stored > decoded else ""
        self.view.say(f"{decoded} gave readings{rest}")

    async def _count(self) -> None:
        self.view.chapter("The exact count: truth against table")
        verdict: Verdict | None = None
        with self.view.bar("stored", 1) as bar:

            async def complete() -> bool:
                nonlocal verdict
                if not self.air.stop():
                    return False
                verdict = await asyncio.to_thread(self.audit.verdict, self.stack.truth)
                bar.of(verdict.expected)
                bar.at(verdict.stored, f"{verdict.stored}/{verdict.expected}")
                return verdict.stored == verdict.expected

            try:
                await self._until("all readings to be stored", complete)
            finally:
                verdict = await asyncio.to_thread(self.audit.verdict, self.stack.truth)
                self._note(verdict)

    def _note(self, verdict: Verdict) -> None:
        facts = self.facts
        facts.readings_expected, facts.readings_stored = verdict.expected, verdict.stored
        facts.read_success = round(verdict.stored / max(1, verdict.expected), 6)
        facts.duplicates_in_db = verdict.duplicates
        facts.readings_wrong, facts.readings_unknown = verdict.wrong, verdict.unknown
        facts.quarantined = self.audit.quarantined()
        self.view.fact("readings stored", f"{verdict.stored} of {verdict.expected}")

    # ------------------------------------------------------------ helpers

    @property
    def _customer(self) -> RosterMeter:
        return next(meter for meter in self.stack.roster.meters if meter.prepaid)

    def _elapsed_s(self) -> float:
        return round(time.monotonic() - self.began_s, 2)

    async def _until(self, what: str, true: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while not await true():
            self.stack.check()
            if time.monotonic() > deadline:
                raise DemoError(f"waited {_TIMEOUT_S} s for {what}")
            await asyncio.sleep(_POLL_S)


def _money(mu: int) -> str:
    """Rounded toward minus infinity to the cent, for people."""
    cents = mu // 1000
    return f"{cents // 100}.{cents % 100:02d} {CURRENCY}" if cents >= 0 else f"-{_money(-mu)}"
