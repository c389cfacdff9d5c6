"""The gateway, put together: the only place where its parts learn of each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.boot_clock import BootClock
from gateway.commands import CommandPump
from gateway.disk import replace_file
from gateway.downlink import Downlink, MeshCommand
from gateway.drivers.bench import BenchPort
from gateway.drivers.line import LineSettings
from gateway.drivers.mesh import COMMAND_PAYLOAD_MAX, MeshDriver, MeshSettings
from gateway.enrolment import renew_for_ever
from gateway.field import Field
from gateway.identity import Identity
from gateway.limiter import Census, Guard, Limiter
from gateway.metrics import Metrics, MetricsPort
from gateway.mqtt import Link, LinkError, LinkSettings, spread
from gateway.outbox import Outbox, OutboxSettings
from gateway.sending import Sender, SendingLimits
from gateway.supervision import Pulse, notifier, watchdog_s
from gateway.uplink import Uplink
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import GatewayId
from ohmesh.wire import topics
from ohmesh.wire.meshkeys import read_mesh_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import GatewaySettings
    from ohmesh.model.telegram import Telegram

_log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HOUR_MS = 3_600_000
_GOODBYE_S = 1.0
_EXIT_S = 4.5
"""After that the process ends where it stands: nothing that was promised is lost by it."""


def utc_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _uptime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Gateway:
    """All parts of one gateway around one outbox."""

    def __init__(self, settings: GatewaySettings, outbox: Outbox, clock: BootClock) -> None:
        self._settings = settings
        self._outbox = outbox
        self._identity = Identity(settings.broker.identity)
        name = GatewayId(settings.gateway)
        limits = SendingLimits(
            batch_telegrams=settings.uplink.batch_telegrams,
            linger_ms=settings.uplink.batch_wait_ms,
        )
        self._uplink = Uplink(name, outbox, Sender(limits), dated=clock.dated)
        payload_max = COMMAND_PAYLOAD_MAX if settings.mesh.enabled else 0
        self._census = Census()
        outbox.on_taken = self._taken
        self._commands = CommandPump(
            Downlink(mesh_payload_max=payload_max, guard=self._guard()),
            outbox,
            clock_ms=utc_ms,
            submit=self._submit,
        )
        self._mesh = self._new_mesh() if settings.mesh.enabled else None
        self._sources = Field(outbox, clock_ms=utc_ms).sources(settings)
        self._handlers = {
            topics.gateway_topic(name, "ack"): self._uplink.take_ack,
            topics.gateway_topic(name, "down"): self._commands.take,
        }
        self._metrics = Metrics(
            summary=lambda: outbox.summary,
            drivers=lambda: [(s.intake.name, s.intake.counts) for s in self._sources],
            gauges=self._gauges,
        )
        self._uplink.on_acknowledged = self._metrics.acknowledged
        self._notify = notifier()
        self._pulse = Pulse(
            self._notify,
            outbox=outbox.touch,
            uplink_idle_s=lambda: self._uplink.idle_s,
            status=lambda: f"{outbox.state.backlog} telegrams wait for the head-end",
        )
        self._link = Link(
            LinkSettings(
                brokers=settings.broker_urls,
                context=self._identity.context,
                client_id=f"ohmesh-gw-{name}",
                topics=list(self._handlers),
                on_message=self._dispatch,
                on_change=self._connection_changed,
                birth=lambda: self._uplink.state_message("online"),
                will=lambda: self._uplink.state_message("offline"),
            ),
            spread(settings.broker.reconnect_cap_s),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, then say goodbye. Raises DriverPermanent: a port is taken."""
        bench = await self._open_bench()
        metrics = await self._open_metrics()
        async with asyncio.TaskGroup() as tasks:
            parts = {"outbox": self._outbox.run()}
            if self._mesh:
                parts["mesh"] = self._mesh.run()
            parts["commands"] = self._commands.run()
            parts["uplink"] = self._uplink.run(self._link)
            parts["link"] = self._link.run()
            parts["renewal"] = renew_for_ever(self._identity, lambda: datetime.now(UTC))
            if bench:
                parts["bench"] = bench.run()
            if metrics:
                parts["metrics"] = metrics.run()
            parts["pulse"] = self._pulse.run(watchdog_s())
            parts |= {source.intake.name: source.run() for source in self._sources}
            running = [tasks.create_task(part, name=name) for name, part in parts.items()]
            await stop.wait()
            self._notify("STOPPING=1")
            await self._say_goodbye()
            for task in running:
                task.cancel()

    async def _open_bench(self) -> BenchPort | None:
        bench = self._settings.bench
        if not bench.enabled:
            return None
        port = BenchPort(self._outbox, clock_ms=utc_ms)
        await port.open(bench.host, bench.port)
        return port

    async def _open_metrics(self) -> MetricsPort | None:
        settings = self._settings.metrics
        if not settings.enabled:
            return None
        port = MetricsPort(self._metrics)
        await port.open(settings.host, settings.port)
        return port

    def _gauges(self) -> dict[str, tuple[str, float]]:
        found: dict[str, tuple[str, float]] = {
            "meters": ("Meters heard within a day or two.", self._census.meters),
            "uplink_up": ("1 while connected to a broker.", self._link.up),
        }
        if self._identity.exists:
            text = "When our certificate ends, seconds since 1970."
            with contextlib.suppress(ConfigError):
                ends = self._identity.life().ends.timestamp()
                found["certificate_end_timestamp_seconds"] = text, ends
        return found

    async def _say_goodbye(self) -> None:
        """A clean end sends no will, so the retained state is set by hand."""
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._link.publish(self._uplink.state_message("offline"))

    def _new_mesh(self) -> MeshDriver:
        mesh = self._settings.mesh
        settings = MeshSettings(
            gateway=GatewayId(self._settings.gateway),
            node=mesh.node,
            net=mesh.net,
            air=self._settings.air_url,
            context=self._identity.context,
            timer_divisor=mesh.timer_divisor,
            state_path=self._settings.outbox.path.with_suffix(".mesh"),
            modem=LineSettings(mesh.modem, mesh.modem_baud) if mesh.modem else None,
            keys=read_mesh_keys(mesh.keys_file) if mesh.keys_file else None,
        )
        return MeshDriver(
            settings, self._outbox, clock_ms=utc_ms, command_ended=self._commands.ended
        )

    def _submit(self, command: MeshCommand) -> None:
        assert self._mesh is not None
        self._mesh.command(command)

    def _guard(self) -> Guard:
        path = self._settings.outbox.path.with_suffix(".limiter")
        octets = path.read_bytes() if path.exists() else None
        settings, enrolment = self._settings.limiter, self._identity.enrolment
        keys = [*settings.gate_keys, *(enrolment.gate_keys if enrolment else ())]
        return Guard(
            gate_keys=frozenset(map(bytes.fromhex, keys)),
            people={name: bytes.fromhex(key) for name, key in settings.approvers.items()},
            limiter=Limiter.load(octets, _boot(), _uptime_ms() // 1000),
            census=self._census,
            uptime_s=lambda: _uptime_ms() // 1000,
            keep=lambda kept: replace_file(path, kept),
        )

    def _taken(self, telegrams: Sequence[Telegram]) -> None:
        self._metrics.took(telegrams)
        self._census.hear((telegram.meter for telegram in telegrams), _uptime_ms() // 1000)

    def _dispatch(self, topic: str, octets: bytes) -> None:
        handler = self._handlers.get(topic)
        if handler is not None:
            handler(octets)

    def _connection_changed(self, up: bool) -> None:  # noqa: FBT001 - up or down
        self._uplink.connection_changed(up)
        if self._mesh:
            self._mesh.set_grounded(up)


async def run(settings: GatewaySettings) -> None:
    """Run one gateway until SIGTERM or SIGINT. Raises StoreError, ConfigError, DriverPermanent."""
    boot = _boot()
    clock = BootClock(utc_ms, _uptime_ms, boot)
    outbox = await Outbox.open(
        OutboxSettings(
            path=settings.outbox.path,
            max_bytes=settings.outbox.max_bytes,
            keep_ms=settings.outbox.keep_hours * _HOUR_MS,
            boot=boot,
        ),
        clock_ms=utc_ms,
        stamped=clock.stamped,
    )
    state = outbox.state
    path = settings.outbox.path.absolute()
    _log.info("outbox %s of epoch %d: %d telegrams wait", path, state.epoch, state.backlog)
    if not settings.source_names:
        _log.warning("no source of telegrams is enabled; 'ohmesh gateway doctor' says more")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_soon, loop, stop)
    try:
        await Gateway(settings, outbox, clock).run(stop)
    finally:
        await outbox.close()
    _log.info("stopped")


def _boot() -> str:
    """Identity of this boot of the machine; of this start of the program where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex()


def _stop_soon(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    _log.info("stopping")
    loop.call_later(_EXIT_S, os._exit, 1)
    stop.set()
