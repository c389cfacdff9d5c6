"""A city on a real broker, hurt with SIGKILL: what happened, and when.

Theory of operation. The ether, the engines in a few processes and real gateways (`ohmesh gateway
run`) are children of this process, which is the head-end. Everybody boots by the plan and reports
from the start. A process of engines is killed and started again, then a gateway. All moments are
noted as they came, so that the simulator can be told the same story
(`meter_sim.broker_city.replay`).
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from meter_sim.broker_city.engines import reports_made
from meter_sim.broker_city.headend import Listener, now_ms
from meter_sim.broker_city.plan import WirePlan
from meter_sim.city.build import MINUTE_US
from meter_sim.city.world import NET
from meter_sim.servers.broker import Broker
from meter_sim.servers.mosquitto import Mosquitto, installed
from meter_sim.servers.process import spawn, stop
from meter_sim.store import FleetStore
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

DEADLINE_MIN = 15
_POLL_S = 0.05
_FORM_MIN = 30
_LEAD_MS = 5_000
"""Until the first meter boots: the processes need a moment."""
_START_S = 30
_PYTHON = (sys.executable, "-m")
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Deed(Enum):
    """What is done to nodes."""

    KILL = "kill"
    BOOT = "boot"


@dataclass(frozen=True, slots=True)
class Happening:
    """What was done to which nodes, microseconds after the start."""

    at_us: int
    deed: Deed
    nodes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Story:
    """How long what lasts, in minutes of the protocol; the first part begins when all have joined.

    Attributes:
        calm: reports before anything is killed.
        part_dead, part_back: a process of engines is away; is back.
        gateway_dead, gateway_back: a gateway is away; is back.
    """

    calm: float = 8
    part_dead: float = 4
    part_back: float = 4
    gateway_dead: float = 5
    gateway_back: float = 5


QUICK = Story(calm=1, part_dead=1, part_back=2, gateway_dead=2, gateway_back=3)


@dataclass(slots=True)
class Outcome:
    """What a run came to; times in seconds after the start, infinite when it did not happen.

    Attributes:
        t95_s: 95 % of the meters had joined.
        back_s: after its revival, 95 % of the process's meters had joined again.
        made: readings produced.
        in_time: arrived within 15 min of the protocol.
        arrived: of those produced, at last.
        delays_ms: of those that arrived.
        happenings: what was done when.
        stopped_us: when the last reading may have been made.
    """

    t95_s: float = math.inf
    back_s: float = math.inf
    made: int = 0
    in_time: int = 0
    arrived: int = 0
    delays_ms: list[int] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    stopped_us: int = 0


class WireRun:
    """One run in a folder of its own."""

    def __init__(self, plan: WirePlan, folder: Path, listener: Listener) -> None:
        self._plan = plan
        self._folder = folder
        self._file = folder / "plan.json"
        self._listener = listener
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._outcome = Outcome()
        plan.write(self._file)

    async def play(self, story: Story) -> Outcome:
        """Start all, wait, hurt, count."""
        self._start("air")
        for node in range(1, self._plan.gateways + 1):
            self._start_gateway(node)
        for part in range(self._plan.processes):
            self._start(str(part))
        await self._form()
        await self._pass(story.calm)
        await self._lose_part(story)
        await self._lose_gateway(story)
        await self._drain()
        self.end()
        self._count()
        return self._outcome

    def end(self) -> None:
        """End all children in good order."""
        for child in self._children.values():
            stop(child)
        self._children.clear()

    # --- the story ------------------------------------------------------------------------------

    async def _form(self) -> None:
        reachable = self._plan.reachable()
        wanted = math.ceil(reachable * 0.95)
        await self._wait(lambda: self._listener.joined >= wanted, _FORM_MIN)
        if self._listener.joined >= wanted:
            self._outcome.t95_s = self._now_us() / 1e6
        await self._wait(lambda: self._listener.joined >= reachable, _FORM_MIN)

    async def _lose_part(self, story: Story) -> None:
        part = self._plan.processes - 1
        nodes, name = self._plan.share(part), f"engines-{part}"
        self._kill(str(part), nodes)
        self._listener.statuses.pop(name, None)
        await self._pass(story.part_dead)
        self._start(str(part))
        await self._wait(lambda: name in self._listener.statuses, _FORM_MIN)
        wanted = math.ceil(len(nodes) * 0.95)
        await self._wait(lambda: self._listener.statuses[name].joined >= wanted, _FORM_MIN)
        back_us = self._now_us()
        with FleetStore(self._folder / name, "reader") as store:
            up_us = self._since_start_us(store.fact("up_ms"))
        self._outcome.happenings.append(Happening(up_us, Deed.BOOT, nodes))
        if self._listener.statuses[name].joined >= wanted:
            self._outcome.back_s = (back_us - up_us) / 1e6
        await self._pass(story.part_back)

    async def _lose_gateway(self, story: Story) -> None:
        node = self._plan.gateways
        name = f"gw{node}"
        self._kill(name, [node])
        self._listener.up.discard(name)
        await self._pass(story.gateway_dead)
        self._start_gateway(node)
        await self._wait(lambda: name in self._listener.up, _FORM_MIN)
        self._outcome.happenings.append(Happening(self._now_us(), Deed.BOOT, [node]))
        await self._pass(story.gateway_back)

    async def _drain(self) -> None:
        """No more reports; the last one has until its deadline."""
        self._listener.stop_reports()
        self._outcome.stopped_us = self._now_us()
        await asyncio.sleep(1)  # each process says once more how things stand
        listener = self._listener
        await self._wait(lambda: len(listener.delay_ms) >= listener.made, DEADLINE_MIN)

    def _count(self) -> None:
        plan, outcome = self._plan, self._outcome
        for part in range(plan.processes):
            with FleetStore(self._folder / f"engines-{part}", "reader") as store:
                outcome.made += sum(reports_made(store, node) for node in plan.share(part))
        outcome.delays_ms = sorted(self._listener.delay_ms.values())
        deadline_ms = DEADLINE_MIN * 60_000 // plan.divisor
        outcome.in_time = sum(delay_ms <= deadline_ms for delay_ms in outcome.delays_ms)
        outcome.arrived = len(outcome.delays_ms)

    # --- its parts ------------------------------------------------------------------------------

    def _start(self, role: str) -> None:
        self._run(role, *_PYTHON, "meter_sim.broker_city", self._file, role)

    def _start_gateway(self, node: int) -> None:
        name = f"gw{node}"
        settings = {
            "GATEWAY": name,
            "BROKER__URL": self._plan.air_url,
            "OUTBOX__PATH": str(self._folder / f"{name}.db"),
            "UPLINK__BATCH_WAIT_MS": "0",
            "MESH__ENABLED": "true",
            "MESH__NODE": str(node),
            "MESH__NET": str(NET),
            "MESH__TIMER_DIVISOR": str(self._plan.divisor),
        }
        self._run(name, *_PYTHON, "ohmesh", "gateway", "run", settings=settings)

    def _run(self, name: str, *argv: str | Path, settings: dict[str, str] | None = None) -> None:
        named = {f"OHMESH_GATEWAY__{key}": value for key, value in (settings or {}).items()}
        with (self._folder / f"{name}.log").open("ab") as log:
            environment = _ENVIRONMENT | named
            self._children[name] = spawn(argv, log=log, cwd=self._folder, env=environment)

    def _kill(self, name: str, nodes: Sequence[int]) -> None:
        child = self._children.pop(name)
        child.kill()
        self._outcome.happenings.append(Happening(self._now_us(), Deed.KILL, nodes))
        child.wait()

    def _now_us(self) -> int:
        return self._since_start_us(now_ms())

    def _since_start_us(self, at_ms: int) -> int:
        return 1000 * (at_ms - self._plan.start_ms)

    async def _pass(self, minutes: float) -> None:
        await asyncio.sleep(minutes * 60 / self._plan.divisor)

    async def _wait(self, condition: Callable[[], bool], minutes: float) -> None:
        """Until something is so, or the time is up."""
        until_s = time.monotonic() + _START_S + minutes * 60 / self._plan.divisor
        while not condition() and time.monotonic() < until_s:  # noqa: ASYNC110 - of processes
            await asyncio.sleep(_POLL_S)


async def play(plan: WirePlan, story: Story, folder: Path) -> Outcome:
    """A run on a broker that is there already."""
    listener = Listener(BrokerUrl.parse(plan.air_url))
    hearing = asyncio.create_task(listener.run(), name="listener")
    run = WireRun(plan, folder, listener)
    try:
        await listener.ready.wait()
        return await run.play(story)
    finally:
        run.end()
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing


def run_on_broker(
    profile: str,
    *,
    nodes: int,
    gateways: int,
    seed: int,
    divisor: int,
    processes: int,
    story: Story,
) -> tuple[WirePlan, Outcome]:
    """A city on a broker of its own: Mosquitto where it is installed."""
    with ExitStack() as held:
        place = held.enter_context(tempfile.TemporaryDirectory(prefix="ohmesh-wire-"))
        folder = Path(place)
        kind = Mosquitto if installed() else Broker
        broker = held.enter_context(kind(folder / "broker"))
        start_ms = now_ms() + _LEAD_MS
        plan = WirePlan(profile, nodes, gateways, seed, divisor, processes, broker.url, start_ms)
        return plan, asyncio.run(play(plan, story, folder))


def deadline_us(plan: WirePlan) -> int:
    """Until when a reading is in time, after it was made."""
    return DEADLINE_MIN * MINUTE_US // plan.divisor
