"""The whole stack as child processes on real servers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from meter_sim.demo.air import Air
from meter_sim.demo.audit import Audit
from meter_sim.demo.client import HeadEnd
from meter_sim.demo.options import Options
from meter_sim.demo.stack import Stack
from meter_sim.register import register
from meter_sim.street import StreetPlan, make_roster

PATIENCE_S = 120


class System:
    """A running stack and what a test asks of it."""

    def __init__(self, stack, air, headend, audit):
        self.stack, self.air, self.headend, self.audit = stack, air, headend, audit

    async def until(self, what, true):
        """Poll for a state; the time limit only ends a run that would never end."""
        deadline = time.monotonic() + PATIENCE_S
        while not (await true() if asyncio.iscoroutinefunction(true) else true()):
            if time.monotonic() > deadline:
                logs = {p.name: p.read_text()[-800:] for p in self.stack.folder.glob("*.log")}
                pytest.fail(f"waited for {what}; {logs}")
            await asyncio.sleep(0.1)

    async def stored(self, count):
        """Wait for so many readings more than there are now."""
        goal = self.audit.mesh_readings() + count
        await self.until(f"{count} more readings", lambda: self.audit.mesh_readings() >= goal)

    async def settle(self):
        """End production, wait for what is on its way; the exact count."""
        await self.until("the fleet to stop", self.air.stop)

        def complete():
            verdict = self.audit.verdict(self.stack.truth)
            return verdict.stored == verdict.expected

        await self.until("all readings", complete)
        return self.audit.verdict(self.stack.truth)


@asynccontextmanager
async def running(meters=12, seed=7):
    plan = StreetPlan(
        meters=meters,
        seed=seed,
        start=(datetime.now(UTC) - timedelta(hours=48)).replace(minute=0, second=0, microsecond=0),
        calendar_speed=450,
    )
    options = Options(
        meters=meters,
        seed=seed,
        telegrams=None,
        serve=False,
        truth=None,
        database=None,
        broker=None,
        quiet=True,
    )
    with Stack(options, make_roster(plan)) as stack:
        stack.start()
        air = Air(stack.broker_url, stack.roster.net)
        listening = asyncio.create_task(air.run(), name="air")
        try:
            with Audit(stack.audit_url) as audit:
                async with HeadEnd(stack.api_url, stack.token) as headend:
                    system = System(stack, air, headend, audit)
                    await system.until("the head-end", headend.ready)
                    await register(stack.api_url, stack.token, stack.roster, stack.roster.meters)
                    yield system
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
def system():
    """`async with system() as s`: a fixture cannot hold a task group open across its yield."""
    return running
