"""E14: an attacker in the street replays, forges, seals with a wrong key and floods copies."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meter_sim.city.build import HOUR_US, SECOND_US, City, Radio
from meter_sim.city.dice import Dice
from meter_sim.city.exact import ExactWorld
from meter_sim.city.experiments.measure import Better, Measure
from meter_sim.city.experiments.stage import lost_after_all, raise_city
from ohmesh.mesh import (
    BROADCAST,
    Delivered,
    KeyedSealer,
    Received,
    Station,
    Transmit,
    codec,
    frames,
)
from ohmesh.mesh.constants import PROTOCOL_VERSION, ROOT_RANK

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_HEADER = struct.Struct(">BBHIIBI")
_KEY, _WRONG_KEY = b"the network's key", b"not the network's"
_RSSI_DBM = -60
_KEPT = 4_000
_HACK = 7
_ECHO_US = SECOND_US // 2, 2 * SECOND_US


class Listener:
    """What an attacker has recorded: who heard which frame."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.heard: list[tuple[int, bytes]] = []

    def __call__(self, number: int, frame: bytes) -> None:
        """Keep a frame."""
        if len(self.heard) < _KEPT:
            self.heard.append((number, frame))


def attack(plan: Plan) -> list[Measure]:
    """E14: frames nobody of the network sent, and none of them may change a station."""
    city = raise_city(replace(plan, radio=Radio.EXACT, sealer=KeyedSealer({0: _KEY})))
    world = city.world
    assert isinstance(world, ExactWorld)
    world.tap = ears = Listener()
    world.start_reports()
    world.run(world.now_us + HOUR_US)
    world.tap = None
    rounds = 300 if plan.quick else 2_000
    dice = Dice(plan.seed, 141)
    accepted = sum(_replayed(city, ears, dice) for _ in range(rounds))
    accepted += sum(_forged(city, dice) for _ in range(rounds))
    copies_before, made_before = world.ledger.copies, len(world.ledger)
    world.tap = _Echo(city)
    world.run(world.now_us + HOUR_US)
    world.tap = None
    copies = (world.ledger.copies - copies_before) / (len(world.ledger) - made_before)
    lost = lost_after_all(city)
    return [
        Measure("forged_accepted", accepted, 0.0, 0.0, Better.LOWER),
        Measure("copies_share_under_flood", copies, 0.0, 0.001, Better.LOWER),
        Measure("readings_lost", lost, 0.0, 0.0, Better.LOWER),
    ]


def _replayed(city: City, ears: Listener, dice: Dice) -> bool:
    """Play a recorded frame once more to somebody who heard it."""
    return _changes(city, *ears.heard[dice.randrange(len(ears.heard))])


def _forged(city: City, dice: Dice) -> bool:
    """Claim to be the root next door, under a wrong key, in the name of a real neighbour."""
    meters = city.world.meters()
    victim = meters[dice.randrange(len(meters))]
    tag = frames.Tag(1, 0xFFFFFFFF, 0, ROOT_RANK, 0, frames.TagFlag.GROUNDED, 0)
    kind, body = codec.encode(frames.Adv(tag, 0, 0, 0, 0))
    names = list(city.world.air.row(victim))
    src = names[dice.randrange(len(names))]
    first = PROTOCOL_VERSION << 4 | kind
    message = _HEADER.pack(first, 0, 1, src, BROADCAST, 0, 0xFFFFFFF0) + body
    seal = KeyedSealer({0: _WRONG_KEY}).seal(message, 0)
    return _changes(city, victim, message + seal)


def _changes(city: City, number: int, frame: bytes) -> bool:
    """Whether a station takes a frame as new: it says so, delivers it, or stands elsewhere."""
    station, now_ms = city.world.station(number), city.world.now_us // 1000
    assert isinstance(station, Station)
    # What time alone changes is settled by an input that says nothing.
    station.receive(now_ms, b"", _RSSI_DBM)
    before = station.parents, station.rank, station.root
    outputs = station.receive(now_ms, frame, _RSSI_DBM)
    new = any(_is_new(output) for output in outputs)
    return new or (station.parents, station.rank, station.root) != before


def _is_new(output: Any) -> bool:
    """A delivery, a command, or a first answer; a second answer to a copy says DUP."""
    if isinstance(output, Transmit) and output.frame[0] & 0xF == _HACK:
        return output.frame[19] == frames.HackStatus.OK
    return isinstance(output, Delivered | Received)


class _Echo:
    """Repeats every frame to whoever heard it, after half a second and after two."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._later: deque[tuple[int, int, bytes]] = deque()

    def __call__(self, number: int, frame: bytes) -> None:
        """Keep a frame, and play those whose time has come."""
        world = self._city.world
        assert isinstance(world, ExactWorld)
        for delay_us in _ECHO_US:
            self._later.append((world.now_us + delay_us, number, frame))
        for _ in range(len(self._later)):
            at_us, dst, old = self._later.popleft()
            if at_us <= world.now_us:
                world.inject(dst, old, _RSSI_DBM)
            else:
                self._later.append((at_us, dst, old))
