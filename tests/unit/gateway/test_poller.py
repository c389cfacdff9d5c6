"""What a poller says of meters that cannot be read."""

from __future__ import annotations

import logging

import pytest

from gateway.drivers.source import Answer, Poller
from ohmesh.model.errors import DriverError, DriverTransient


class Intake:
    name = "dlms 1"

    def __init__(self):
        self.counts = {"failed": 0}
        self.put_meters = []

    async def put(self, meter, _profile, _payload):
        self.put_meters.append(meter)
        return True


class OpenLine:
    name = "tcp://127.0.0.1:4059"

    def check(self):
        """It is still open."""


async def test_the_first_failure_is_told_with_its_reason_and_then_no_other(caplog):
    async def ask(_line, _index):
        raise DriverError("it wants a password")

    caplog.set_level(logging.WARNING)
    poller = Poller(Intake(), ["M1"], period_s=0.001, ask=ask)
    with pytest.raises(DriverTransient, match="no meter can be read: it wants a password"):
        await poller.serve(OpenLine())
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "dlms 1: M1 cannot be read yet: it wants a password",
        "dlms 1: M1 is silent: it wants a password",
    ]


async def test_a_meter_that_has_answered_is_not_new_when_it_fails(caplog):
    turns = iter([None, DriverError("garbage"), TimeoutError(), TimeoutError()])

    async def ask(_line, _index):
        if (error := next(turns)) is not None:
            raise error
        return Answer("M1", "", (b"x",))

    caplog.set_level(logging.WARNING)
    intake = Intake()
    poller = Poller(intake, ["M1"], period_s=0.001, ask=ask)
    with pytest.raises(DriverTransient):
        await poller.serve(OpenLine())
    assert intake.put_meters == ["M1"]
    assert [r.getMessage() for r in caplog.records] == ["dlms 1: M1 is silent: no answer"]
