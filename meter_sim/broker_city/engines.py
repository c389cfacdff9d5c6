"""The engines of one process: frames and time in, frames out. Pure but for its store.

Each is the mesh station of a meter that does nothing but report by the plan. What it must remember,
and how many reports it made, is committed before a frame leaves: it may be killed at any moment.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from meter_sim.city.ledger import PAYLOAD_BYTES
from meter_sim.city.reports import moment_us
from meter_sim.city.world import NET
from meter_sim.wakes import Wakes
from ohmesh.mesh import (
    ForgetPayload,
    Output,
    Persist,
    PersistPayload,
    Station,
    StationConfig,
    Transmit,
)
from ohmesh.wire.aircontrol import AirAction, AirControl, AirStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meter_sim.broker_city.plan import WirePlan
    from meter_sim.fleet import Frames
    from meter_sim.store import FleetStore
    from ohmesh.wire.air import Heard

_READING = struct.Struct(">IQ")
_COUNT = struct.Struct(">I")


def encode_reading(node: int, produced_ms: int) -> bytes:
    """A reading as it is sent: 72 B, as in the simulator."""
    return _READING.pack(node, produced_ms).ljust(PAYLOAD_BYTES, b"\0")


def decode_reading(payload: bytes) -> tuple[int, int]:
    """Node and time (ms since 1970) of a reading."""
    node, produced_ms = _READING.unpack_from(payload)
    return node, produced_ms


def reports_made(store: FleetStore, node: int) -> int:
    """How many reports of a node the store knows of."""
    state = store.recall(node).state
    return int(_COUNT.unpack(state)[0]) if state else 0


class Engine:
    """One meter: its station, and the report that is next."""

    def __init__(self, plan: WirePlan, node: int, store: FleetStore) -> None:
        """Be off until `boot_ms`."""
        self.number = node
        self.boot_ms = plan.start_ms + plan.boot_us(node) // 1000
        self.made = reports_made(store, node)
        self.station: Station | None = None
        self.reporting = True
        self._plan = plan
        self._store = store
        self._next = 0
        self._out: Frames = []

    @property
    def next_ms(self) -> int | None:
        """When `tick` wants to be called."""
        if self.station is None:
            return self.boot_ms
        wake_ms = self.station.next_wake_ms
        if not self.reporting:
            return wake_ms
        return self._report_ms if wake_ms is None else min(wake_ms, self._report_ms)

    @property
    def _report_ms(self) -> int:
        plan = self._plan
        after_us = moment_us(plan.seed, self.number, self._next, plan.divisor)
        return plan.start_ms + after_us // 1000

    def tick(self, now_ms: int) -> Frames:
        """Do what is due. Returns: frames for the air."""
        if self.station is None:
            self._boot(now_ms)
        while self.reporting and self._report_ms <= now_ms:
            self._report(now_ms)
        assert self.station is not None
        wake_ms = self.station.next_wake_ms
        if wake_ms is not None and wake_ms <= now_ms:
            self._carry_out(self.station.wake(now_ms))
        return self._sent()

    def heard(self, now_ms: int, frame: bytes, rssi_dbm: int) -> Frames:
        """The radio heard a frame. Returns: frames for the air."""
        if self.station is not None:
            self._carry_out(self.station.receive(now_ms, frame, rssi_dbm))
        return self._sent()

    def _boot(self, now_ms: int) -> None:
        """Go on from what is stored; reports of the time it was off were never made."""
        held, plan = self._store.recall(self.number), self._plan
        while self._report_ms < now_ms:
            self._next += 1
        self.station = Station(
            StationConfig(
                node=self.number, net=NET, is_root=False, epoch=0, timer_divisor=plan.divisor
            ),
            Random(f"{plan.seed}/{self.number}/{now_ms}"),  # noqa: S311 - a simulated meter
            held.mesh,
            pending=[PersistPayload(*row) for row in held.kept],
        )
        self._carry_out(self.station.start(now_ms))

    def _report(self, now_ms: int) -> None:
        assert self.station is not None
        self._next += 1
        self.made += 1
        self._store.put_state(self.number, _COUNT.pack(self.made))
        self._carry_out(self.station.submit(now_ms, encode_reading(self.number, now_ms)))

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        store, number = self._store, self.number
        for output in outputs:
            match output:
                case Transmit(frame):
                    self._out.append((number, frame))
                case PersistPayload(oseq, priority, payload):
                    store.keep_payload(number, oseq, priority, payload)
                case ForgetPayload(oseq):
                    store.forget_payload(number, oseq)
                case Persist(state):
                    store.put_mesh(number, state)
                case _:  # what only metrics want
                    pass

    def _sent(self) -> Frames:
        out, self._out = self._out, []
        return out


class Engines:
    """All engines of a process; a crew for `meter_sim.fleet_app.FleetApp`."""

    def __init__(self, plan: WirePlan, part: int, store: FleetStore) -> None:
        """Args: part: which process of the plan, from 0."""
        self.listener = f"engines-{part}"
        self._store = store
        self._engines = {node: Engine(plan, node, store) for node in plan.share(part)}
        self._wakes = Wakes()

    @property
    def nodes(self) -> list[int]:
        """Their numbers."""
        return list(self._engines)

    @property
    def next_ms(self) -> int | None:
        """When `wake` wants to be called."""
        return self._wakes.next_ms

    def start(self, now_ms: int) -> Frames:
        """Plan the boots; those whose time has passed boot now."""
        self._store.put_fact("up_ms", now_ms)
        for engine in self._engines.values():
            engine.boot_ms = max(engine.boot_ms, now_ms)
        return self._end_turn(self._engines.values(), [])

    def heard(self, now_ms: int, heard: Iterable[Heard]) -> Frames:
        """The ether let nodes hear frames; others than ours are nobody's business here."""
        touched, frames = {}, []
        for one in heard:
            engine = self._engines.get(one.node)
            if engine is not None:
                touched[one.node] = engine
                frames += engine.heard(now_ms, one.frame, one.rssi_dbm)
        return self._end_turn(touched.values(), frames)

    def control(self, _now_ms: int, _number: int, order: AirControl) -> Frames:
        """Stop reporting when told so; other faults come by signals."""
        if order.action is AirAction.STOP:
            for engine in self._engines.values():
                engine.reporting = False
        return []

    def wake(self, now_ms: int) -> Frames:
        """Let every engine do what is due."""
        touched, frames = [], []
        while (number := self._wakes.take(now_ms)) is not None:
            touched.append(self._engines[number])
            frames += self._engines[number].tick(now_ms)
        return self._end_turn(touched, frames)

    def status(self, now_ms: int) -> AirStatus:
        """How things stand."""
        engines = self._engines.values()
        stations = [engine.station for engine in engines if engine.station is not None]
        made = sum(engine.made for engine in engines)
        return AirStatus(
            listener=self.listener,
            meters=len(engines),
            alive=len(stations),
            joined=sum(station.joined for station in stations),
            reports=made,
            readings=made,
            backlog=sum(station.backlog for station in stations),
            stopped=not any(engine.reporting for engine in engines),
            time=datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(),
        )

    def _end_turn(self, touched: Iterable[Engine], frames: Frames) -> Frames:
        """Commit the turn, plan the next calls, let the frames go."""
        for engine in touched:
            self._wakes.put(engine.number, engine.next_ms)
        self._store.commit()
        return frames
