"""What the live pages look at, shared by all of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headend.api.pulse import Pulse, Pulses
from headend.api.views import Command, Event
from headend.web.happenings import newest_first

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_pulse_names_what_changed():
    before = Pulse(1, {"mesh": "a", "meters": "x"})
    assert Pulse(2, {"mesh": "b", "meters": "x"}).changed_since(before) == ["mesh"]
    assert before.changed_since(before) == []


async def test_within_a_beat_one_look_serves_all():
    looks = []

    async def look() -> Pulse:
        looks.append(1)
        await asyncio.sleep(0)
        return Pulse(len(looks), {})

    pulses = Pulses(beat_s=3600)
    taken = await asyncio.gather(*(pulses.take(1, look) for _ in range(50)))
    assert {p.event_id for p in taken} == {1}
    assert (await pulses.take(2, look)).event_id == 2, "another tenant has a pulse of its own"


async def test_a_listener_that_goes_away_cuts_off_nothing():
    done = asyncio.Event()
    gate = asyncio.Event()

    async def look() -> Pulse:
        await gate.wait()
        done.set()
        return Pulse(7, {})

    pulses = Pulses(beat_s=3600)
    listener = asyncio.create_task(pulses.take(1, look), name="listener")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)
    assert listener.cancelled()
    gate.set()
    await pulses.settle()
    assert done.is_set()


async def test_a_look_that_fails_is_looked_again():
    async def broken() -> Pulse:
        raise OSError("away")

    async def look() -> Pulse:
        return Pulse(3, {})

    pulses = Pulses(beat_s=3600)
    with pytest.raises(OSError, match="away"):
        await pulses.take(1, broken)
    assert (await pulses.take(1, look)).event_id == 3


def test_events_and_commands_are_one_story():
    event = Event(id=1, at=NOW, kind="supply.credit_exhausted", meter="M1", gateway=None, detail={})
    command = Command(
        id=UUID(int=1),
        meter="M1",
        kind="relay_off",
        argument=0,
        not_after=NOW,
        priority=1,
        requested_by="prepayment",
        created_at=NOW,
        state="in_field",
        attempts=1,
        sent_at=None,
        resolved_at=None,
        result=None,
        relay=None,
        read_back="",
        detail="",
    )
    later = Event(
        id=2, at=NOW + timedelta(seconds=1), kind="tamper", meter=None, gateway="gw", detail={}
    )
    story = newest_first([event, later], [command])
    assert [(h.what, h.state) for h in story] == [
        ("tamper", ""),
        ("relay_off", "in_field"),
        ("supply.credit_exhausted", ""),
    ]
