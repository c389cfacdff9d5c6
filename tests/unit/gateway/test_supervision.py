from __future__ import annotations

import asyncio
import os
import socket

import pytest

from gateway import supervision
from gateway.supervision import Pulse, notifier, watchdog_s
from ohmesh.model.errors import StoreError


class Stage:
    """An outbox and an uplink that can hang."""

    def __init__(self):
        self.said = []
        self.idle_s = 0.0
        self.outbox_hangs = self.disk_fails = False
        self.pulse = Pulse(
            self.said.append,
            outbox=self.work,
            uplink_idle_s=lambda: self.idle_s,
            status=lambda: "7 telegrams wait",
        )

    async def work(self):
        if self.outbox_hangs:
            await asyncio.Event().wait()
        if self.disk_fails:
            raise StoreError("the disk refuses")


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setattr(supervision, "_OUTBOX_S", 0.02)
    return Stage()


async def run_until(stage, enough):
    """Let the pulse beat until it has said enough."""
    task = asyncio.create_task(stage.pulse.run(0.003), name="pulse")
    async with asyncio.timeout(20):
        while not enough():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_is_ready_once_and_alive_while_both_ends_move(stage):
    await run_until(stage, lambda: len(stage.said) >= 4)
    assert stage.said[0] == "READY=1"
    assert set(stage.said[1:]) == {"WATCHDOG=1\nSTATUS=7 telegrams wait"}


async def test_a_hanging_outbox_is_not_alive(stage):
    stage.outbox_hangs = True
    assert "outbox" in await stage.pulse.stalled()


async def test_a_hanging_uplink_is_not_alive(stage):
    stage.idle_s = 151
    assert "uplink" in await stage.pulse.stalled()


async def test_a_failing_disk_is_alive(stage):
    stage.disk_fails = True
    assert await stage.pulse.stalled() == ""


async def test_while_it_hangs_the_watchdog_hears_nothing(stage, caplog):
    stage.idle_s = 1000
    await run_until(stage, lambda: len(caplog.records) >= 3)
    assert stage.said == ["READY=1"]


def test_systemd_hears_us_on_its_socket(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        notifier({"NOTIFY_SOCKET": path})("READY=1")
        assert heard.recv(100) == b"READY=1"
        name = f"ohmesh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name)
        notifier({"NOTIFY_SOCKET": "@" + name})("STOPPING=1")
        assert heard.recv(100) == b"STOPPING=1"
    notifier({"NOTIFY_SOCKET": path})("nobody listens")
    notifier({})("nobody asked")


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_what_systemd_wants(environment, wanted):
    assert watchdog_s(environment) == wanted
