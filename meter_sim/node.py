"""A simulated meter on the air: a meter, its mesh station, and what both have stored.

Theory of operation. The meter's processor and the mesh's are two, as in the field: a killed node
has no radio and no mesh, but its metering goes on and its messages wait; when the whole meter is
killed, nothing is counted either. What a station or a meter must remember goes to the store in the
same transaction in which its consequences leave, so a node boots as if nothing had happened.
"""

from __future__ import annotations

import heapq
import logging
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from ohmesh.mesh import (
    ForgetPayload,
    KeyedSealer,
    KeysGranted,
    Output,
    Persist,
    PersistPayload,
    Received,
    Station,
    StationConfig,
    Transmit,
)
from ohmesh.model.errors import WireError
from ohmesh.wire.joining import MeterApplicant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meter_sim.calendar import Calendar
    from meter_sim.meter import Message, Meter
    from meter_sim.store import FleetStore
    from meter_sim.truth import TruthFile
    from ohmesh.wire.joining import JoinCipher

MESSAGES_MAX = 4_320
"""Messages a meter keeps while its mesh is dead: 45 days of 15-min reports; the oldest go first."""
PUSH_WINDOW_MS = 60_000
"""Meters spread their reports over this time after the end of an interval, or over most of it."""
_PHASE_STEPS = 1 << 16
_log = logging.getLogger(__name__)


class Surroundings:
    """What the nodes of one process share: their time, their memory, and the way out."""

    def __init__(self, calendar: Calendar, store: FleetStore, truth: TruthFile) -> None:
        self.calendar = calendar
        self.store = store
        self.truth = truth
        self.frames: list[tuple[int, bytes]] = []
        """(node, frame) to put on the air once the turn is committed."""


class MeterNode:
    """One node.

    Args:
        meter: the meter.
        config: of its station.
        seed: of the station's randomness.
        around: what it shares with others.
        join: its part of joining a closed network; None: the network is open.
    """

    def __init__(
        self,
        meter: Meter,
        config: StationConfig,
        seed: int,
        around: Surroundings,
        join: JoinCipher | None = None,
    ) -> None:
        self.meter = meter
        self.number = config.node
        self._config = config
        self._seed = seed
        self._around = around
        self._join = join
        self._phase = crc32(config.node.to_bytes(8, "big")) % _PHASE_STEPS
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._station: Station | None = None
        self._metering = True

    @property
    def alive(self) -> bool:
        """True when the mesh processor runs."""
        return self._station is not None

    @property
    def joined(self) -> bool:
        """True when a gateway knows the way to this node."""
        return self._station is not None and self._station.joined

    @property
    def backlog(self) -> int:
        """Messages that no gateway has acknowledged yet."""
        return len(self._waiting) + (self._station.backlog if self._station else 0)

    @property
    def next_ms(self) -> int | None:
        """When `tick` wants to be called; None while nothing can happen by itself."""
        due, calendar = [], self._around.calendar
        if self._metering and not calendar.stopped:
            due.append(calendar.clock_ms(self.meter.next_end_ms))
        if self._station:
            if self._station.next_wake_ms is not None:
                due.append(self._station.next_wake_ms)
            if self._waiting:
                due.append(self._waiting[0][0])
        return min(due, default=None)

    def boot(self, now_ms: int) -> None:
        """Start the mesh processor from what is stored; what waits is sent at once."""
        remembered = self._around.store.recall(self.number)
        self._waiting = [(now_ms, *message) for message in remembered.messages]
        coin = Random(f"{self._seed}/{self.number}/{now_ms}")  # noqa: S311 - a simulated meter
        self._station = Station(
            self._config,
            coin,
            remembered.mesh,
            pending=[PersistPayload(*row) for row in remembered.kept],
            sealer=KeyedSealer(remembered.keys) if self._join else None,
            applicant=MeterApplicant(self._join, coin.randbytes) if self._join else None,
        )
        self._carry_out(now_ms, self._station.start(now_ms))
        self._hand_over(now_ms)

    def kill(self, *, meter: bool) -> None:
        """End the mesh processor, and the metering too when asked to."""
        self._station = None
        self._metering = self._metering and not meter

    def revive(self, now_ms: int) -> None:
        """Boot again what was killed."""
        if not self._metering:
            self._metering = True
            self.meter.power_up(self._around.calendar.at(now_ms))
        if not self._station:
            self.boot(now_ms)

    def notice(self, now_ms: int, kind: str) -> None:
        """Something happens to the meter, and it tells so."""
        self._post([self.meter.notice(kind)], now_ms)
        self._hand_over(now_ms)

    def heard(self, now_ms: int, frame: bytes, rssi_dbm: int) -> None:
        """The radio heard a frame."""
        if self._station:
            self._carry_out(now_ms, self._station.receive(now_ms, frame, rssi_dbm))

    def tick(self, now_ms: int) -> None:
        """Do what is due."""
        simulated_ms = self._around.calendar.at(now_ms)
        if self._metering and self.meter.next_end_ms <= simulated_ms:
            messages = self.meter.advance(simulated_ms)
            self._post(messages, now_ms + self._push_delay_ms(now_ms))
        if self._station:
            due_ms = self._station.next_wake_ms
            if due_ms is not None and due_ms <= now_ms:
                self._carry_out(now_ms, self._station.wake(now_ms))
            self._hand_over(now_ms)

    def _push_delay_ms(self, now_ms: int) -> int:
        """Each meter has its own place in the window, so that a street does not shout at once."""
        interval_ms = self._around.calendar.clock_ms(self.meter.next_end_ms) - now_ms
        window_ms = max(0, min(PUSH_WINDOW_MS, interval_ms * 4 // 5))
        return window_ms * self._phase // _PHASE_STEPS

    def _post(self, messages: Iterable[Message], due_ms: int) -> None:
        """Keep what the meter has to say, and the meter's state with it."""
        store = self._around.store
        for message in messages:
            self._around.truth.write(self.meter.config.meter, message.readings)
            number = store.add_message(self.number, message.priority, message.payload)
            heapq.heappush(self._waiting, (due_ms, number, message.priority, message.payload))
        store.put_state(self.number, self.meter.snapshot())
        while len(self._waiting) > MESSAGES_MAX:
            store.remove_message(heapq.heappop(self._waiting)[1])
            _log.warning("meter %s: its ring is full, the oldest message is lost", self.number)

    def _hand_over(self, now_ms: int) -> None:
        """Give the station what is due; from then on the station keeps it."""
        while self._station and self._waiting and self._waiting[0][0] <= now_ms:
            _, number, priority, payload = heapq.heappop(self._waiting)
            self._carry_out(now_ms, self._station.submit(now_ms, payload, priority))
            self._around.store.remove_message(number)

    def _carry_out(self, now_ms: int, outputs: Iterable[Output]) -> None:
        store, number = self._around.store, self.number
        for output in outputs:
            match output:
                case Transmit(frame):
                    self._around.frames.append((number, frame))
                case PersistPayload(oseq, priority, payload):
                    store.keep_payload(number, oseq, priority, payload)
                case ForgetPayload(oseq):
                    store.forget_payload(number, oseq)
                case Persist(state):
                    store.put_mesh(number, state)
                case KeysGranted(keys):
                    store.put_keys(number, keys)
                case Received(payload, _):
                    self._obey(now_ms, payload)
                case _:  # what only metrics want
                    pass

    def _obey(self, now_ms: int, payload: bytes) -> None:
        simulated_ms = self._around.calendar.at(now_ms)
        try:
            messages = self.meter.execute(payload, simulated_ms, now_ms // 1000)
        except WireError as error:
            _log.warning("meter %s refuses a command: %s", self.meter.config.meter, error)
            return
        self._post(messages, now_ms)
        self._hand_over(now_ms)
