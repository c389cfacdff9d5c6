"""Where `ohmesh sim fleet` is put together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from meter_sim.fleet import Fleet, share
from meter_sim.mqtt import AirClient
from meter_sim.pump import Alarm, Clock, until_told
from meter_sim.store import FleetStore
from meter_sim.truth import TruthFile
from ohmesh.model.errors import ConfigError, WireError
from ohmesh.wire import topics
from ohmesh.wire.air import Hello, decode_heard, encode_air
from ohmesh.wire.aircontrol import decode_control, encode_control

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from pathlib import Path

    from meter_sim.fleet import Frames
    from meter_sim.roster import Roster, RosterMeter
    from ohmesh.wire.air import Heard
    from ohmesh.wire.aircontrol import AirControl, AirStatus
    from ohmesh.wire.brokerurl import BrokerUrl

_STATUS_EVERY_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """The command line of `ohmesh sim fleet`.

    Attributes:
        part: (I, N): every N-th meter from the I-th on.
        truth: where to write what the meters produce.
        state_dir: where the meters remember; None is in memory only.
        register: address of a head-end's API to register at.
        token_file: the API token.
    """

    part: tuple[int, int]
    truth: Path | None
    state_dir: Path | None
    register: str | None
    token_file: Path | None


class Crew(Protocol):
    """Nodes of one process: calls in, frames for the air out."""

    listener: str

    @property
    def nodes(self) -> list[int]:
        """Their numbers."""
        ...

    @property
    def next_ms(self) -> int | None:
        """When `wake` wants to be called."""
        ...

    def start(self, now_ms: int) -> Frames:
        """Begin."""
        ...

    def heard(self, now_ms: int, heard: Iterable[Heard]) -> Frames:
        """Nodes hear frames."""
        ...

    def control(self, now_ms: int, number: int, order: AirControl) -> Frames:
        """Obey an order."""
        ...

    def wake(self, now_ms: int) -> Frames:
        """Do what is due."""
        ...

    def status(self, now_ms: int) -> AirStatus:
        """How things stand."""
        ...


class FleetApp:
    """A fleet on a broker."""

    def __init__(
        self, fleet: Crew, net: int, air: BrokerUrl, beside: Sequence[Coroutine[None, None, None]]
    ) -> None:
        """Args: beside: work to do while the meters run."""
        self._fleet = fleet
        self._beside = beside
        self._net = net
        self._clock = Clock()
        self._hello = encode_air(Hello(fleet.listener, fleet.nodes))
        self._heard_topic = topics.air_rx(net, fleet.listener)
        self._alarm = Alarm(self._clock, self._due_us, self._ring)
        filters = {self._heard_topic: 0, topics.air_all(net, "ctl"): 1}
        self._client = AirClient(air, filters, hear=self._hear, greet=self._greet)

    async def run(self) -> None:
        """Run the meters until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.run(), name="air")
            self._put_on_air(self._fleet.start(self._clock.now_ms))
            tasks.create_task(self._alarm.run(), name="alarm")
            tasks.create_task(self._speak(), name="status")
            for work in self._beside:
                tasks.create_task(work, name="beside")

    def _due_us(self) -> int | None:
        due_ms = self._fleet.next_ms
        return None if due_ms is None else due_ms * 1000

    def _ring(self) -> None:
        self._put_on_air(self._fleet.wake(self._clock.now_ms))

    def _hear(self, topic: str, payload: bytes) -> None:
        now_ms = self._clock.now_ms
        try:
            if topic == self._heard_topic:
                frames = self._fleet.heard(now_ms, decode_heard(payload).heard)
            else:
                frames = self._fleet.control(
                    now_ms, topics.air_node(topic), decode_control(payload)
                )
                self._say_status()
        except WireError as error:
            _log.warning("%s: %s", topic, error)
            return
        self._put_on_air(frames)
        self._alarm.check()

    def _put_on_air(self, frames: Frames) -> None:
        for node, frame in frames:
            self._client.send(topics.air_tx(self._net, node), frame)

    async def _speak(self) -> None:
        """Greet the ether and tell how things stand, again and again: both may have restarted."""
        while True:
            await asyncio.sleep(_STATUS_EVERY_S)
            self._greet()
            self._say_status()

    def _greet(self) -> None:
        self._client.send(topics.air_hello(self._net), self._hello)

    def _say_status(self) -> None:
        status = self._fleet.status(self._clock.now_ms)
        topic = topics.air_status(self._net, self._fleet.listener)
        self._client.send(topic, encode_control(status))


def run_fleet(roster: Roster, air: BrokerUrl, options: FleetOptions) -> None:
    """Run meters until SIGINT or SIGTERM. Raises ConfigError."""
    meters = share(roster.meters, options.part)
    name = f"fleet-{options.part[0]}-of-{options.part[1]}"
    with (
        FleetStore(options.state_dir, name) as store,
        closing(TruthFile(options.truth, store)) as truth,
    ):
        fleet = Fleet(roster, meters, store=store, truth=truth, listener=name)
        beside = _registration(roster, meters, options)
        asyncio.run(until_told(FleetApp(fleet, roster.net, air, beside).run()))


def _registration(
    roster: Roster, meters: Sequence[RosterMeter], options: FleetOptions
) -> list[Coroutine[None, None, None]]:
    if not options.register:
        return []
    if not options.token_file:
        raise ConfigError("--register needs --token-file")
    try:
        token = options.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"the token file {options.token_file}: {error.strerror}") from error
    from meter_sim.register import register  # noqa: PLC0415 - start lean

    return [register(options.register, token, roster, meters)]
