"""Where the demo is put together: servers, programs, story, last line."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from meter_sim.demo.air import Air
from meter_sim.demo.audit import DATABASE, Audit
from meter_sim.demo.client import HeadEnd
from meter_sim.demo.records import BenchRecord, read_records
from meter_sim.demo.stack import Stack
from meter_sim.demo.story import Facts, Story
from meter_sim.street import StreetPlan, make_roster

if TYPE_CHECKING:
    from meter_sim.demo.options import Options
    from meter_sim.demo.view import View

_GATEWAYS = 2
_INTERVAL_S = 900
_CALENDAR_SPEED = 450
"""A quarter hour of the meters' calendar every two seconds."""
_TIMER_DIVISOR = 20
_DAYS_BACK = 2
_FIRST_HOUR = 16
"""The calendar begins on an afternoon so long ago that it stays behind the clock for a while."""


def run(options: Options, view: View) -> Facts:
    """The demo from nothing to the count. Raises DemoError, ServerError, OhmeshError."""
    began_s = time.monotonic()
    records = list(read_records(options.telegrams))
    day = datetime.now(UTC) - timedelta(days=_DAYS_BACK)
    start = day.replace(hour=_FIRST_HOUR, minute=0, second=0, microsecond=0)
    plan = StreetPlan(
        meters=options.meters,
        gateways=_GATEWAYS,
        seed=options.seed,
        start=start,
        interval_s=_INTERVAL_S,
        calendar_speed=_CALENDAR_SPEED,
        timer_divisor=_TIMER_DIVISOR,
        closed=True,
    )
    roster = make_roster(plan)
    with Stack(options, roster) as stack:
        stack.start()
        facts = asyncio.run(_tell(options, view, stack, records, began_s))
        ended_s = time.monotonic()
    facts.seconds = round(facts.seconds + time.monotonic() - ended_s, 2)  # stopping costs too
    return facts


async def _tell(
    options: Options, view: View, stack: Stack, records: list[BenchRecord], began_s: float
) -> Facts:
    air = Air(stack.broker_url, stack.roster.net)
    listening = asyncio.create_task(air.run(), name="air")
    try:
        with Audit(stack.audit_url) as audit:
            async with HeadEnd(stack.api_url, stack.token) as headend:
                story = Story(stack, view, air, headend, audit, records, began_s)
                facts = await story.tell()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    if options.serve:
        await _serve(view, stack)
    return facts


async def _serve(view: View, stack: Stack) -> None:
    stack.renew("fleet")  # it was stopped for the count; it remembers where it was
    view.chapter("Meters, dashboard and API go on until Ctrl-C")
    view.say(f"dashboard  {stack.api_url}/")
    view.say(f"API        {stack.api_url}/docs")
    view.say(f"log-in     {stack.api_url}/login with the token {stack.token}")
    view.say(f"database   {stack.admin_url}, database {DATABASE}")
    view.say(f"broker     {stack.broker_url}")
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
