"""The shared radio channel: who hears a frame when several are in the air. Pure, time is given.

Theory of operation. `transmit` puts a frame on the air and returns when it ends; what it does to
others is known only at its end, so `completed(now_us)` gives the receptions of all frames that
have ended. A receiver gets a frame when

- it was not transmitting itself at any moment of it (half-duplex),
- the frame was at least 8 dB above the sum of all others in the air at the receiver (capture),
- and the loss coin, with the reception probability of signal and length, says so.

Radios listen before they talk: a frame waits until its transmitter hears nobody, plus a random
backoff. The medium is told of frames one after another, so two radios that hear each other never
collide here; hidden ones do. A frame that finds no gap in time is given up, as a real radio does.
An acknowledgement waits for nobody who only waits himself: frames that have not begun yet and
whose radios hear it stand back, as after the short space of IEEE 802.15.4.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.coin import Coin
from meter_sim.radio import SURE, reception
from ohmesh.mesh.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meter_sim.radio import Links

CAPTURE_DB_TENTHS = 80
SENSE_DBM_TENTHS = -1040
"""A radio takes the channel for busy from here (it detects the preamble)."""
PHY_BYTES = 16
"""Preamble, start of frame, PHY header, checksum."""
BACKOFF_SLOTS = 8
SLOT_US = 1_000
WAIT_MAX_US = 400_000
"""A frame that would have to wait longer for the channel is given up."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame at one receiver, at its end."""

    t_us: int
    node: int
    rssi_dbm: int
    frame: bytes


@dataclass(frozen=True, slots=True, order=True)
class _OnAir:
    end_us: int
    start_us: int
    node: int
    number: int
    frame: bytes
    asked_us: int

    def meets(self, start_us: int, end_us: int) -> bool:
        return self.start_us < end_us and start_us < self.end_us


class Medium:
    """One channel.

    Args:
        links: who hears whom.
        seed: of the loss coin and the backoffs.
        rate_kbps: speed of the PHY.
        time_divisor: airtime is divided by it, as the protocol's timers are.
    """

    def __init__(self, links: Links, *, seed: int, rate_kbps: int, time_divisor: int = 1) -> None:
        self._links = links
        self._coin = Coin(seed)
        self._rate_kbps = rate_kbps
        self._time_divisor = time_divisor
        self._pending: list[_OnAir] = []
        self._ended: list[_OnAir] = []
        self._sent: dict[int, int] = {}
        self._quiet_from_us: dict[int, int] = {}
        self._dead: set[int] = set()
        self._loss_percent: dict[frozenset[int], int] = {}
        self._near: dict[int, frozenset[int]] = {}
        self.given_up = 0
        """Frames that found no gap in the channel."""

    def airtime_us(self, length_bytes: int) -> int:
        """How long a frame is on the air."""
        bits = (length_bytes + PHY_BYTES) * 8
        return max(1, bits * 1000 // (self._rate_kbps * self._time_divisor))

    def transmit(self, now_us: int, node: int, frame: bytes) -> int | None:
        """Put a frame on the air as soon as its node finds the channel free.

        Returns:
            The time at which the frame ends, None when the node is dead or found no gap.
        """
        if node in self._dead:
            return None
        number = self._sent.get(node, 0)
        self._sent[node] = number + 1
        waiting = self._stand_back(now_us, node) if _is_acknowledgement(frame) else []
        end_us = self._place(now_us, now_us, node, number, frame)
        for sent in waiting:
            self._place(now_us, sent.asked_us, sent.node, sent.number, sent.frame)
        return end_us

    def _place(
        self, now_us: int, asked_us: int, node: int, number: int, frame: bytes
    ) -> int | None:
        """Give a frame its time from now on; None when it waited too long since it was asked."""
        duration_us = self.airtime_us(len(frame))
        slots = 0 if _is_acknowledgement(frame) else self._coin.toss(node, node, number)
        start_us = self._free_at(now_us, node, slots % BACKOFF_SLOTS, duration_us)
        if start_us - asked_us > WAIT_MAX_US:
            self.given_up += 1
            return None
        end_us = start_us + duration_us
        self._quiet_from_us[node] = end_us
        heapq.heappush(self._pending, _OnAir(end_us, start_us, node, number, frame, asked_us))
        return end_us

    def _stand_back(self, now_us: int, node: int) -> list[_OnAir]:
        """Take the places of frames that have not begun and whose radios will hear this node."""
        waiting = sorted(
            (s for s in self._pending if s.start_us > now_us and self._yields(s, node)),
            key=lambda sent: (sent.start_us, sent.node, sent.number),
        )
        if waiting:
            self._pending = [sent for sent in self._pending if sent not in waiting]
            heapq.heapify(self._pending)
        for moved in {sent.node for sent in waiting}:
            ends_us = (sent.end_us for sent in self._pending if sent.node == moved)
            self._quiet_from_us[moved] = max(ends_us, default=0)
        return waiting

    def _yields(self, sent: _OnAir, node: int) -> bool:
        waits_for_it = sent.node == node or self._senses(sent.node, node)
        return waits_for_it and not _is_acknowledgement(sent.frame)

    @property
    def next_end_us(self) -> int | None:
        """When the next frame ends, None when the air is silent."""
        return self._pending[0].end_us if self._pending else None

    def completed(self, now_us: int) -> list[Arrival]:
        """The receptions of all frames that ended by now, in the order of their ends."""
        arrivals: list[Arrival] = []
        while self._pending and self._pending[0].end_us <= now_us:
            sent = heapq.heappop(self._pending)
            arrivals.extend(self._receptions(sent))
            self._ended.append(sent)
        self._forget(now_us)
        return arrivals

    def kill(self, node: int) -> None:
        """From now on the node's radio neither sends nor hears."""
        self._dead.add(node)

    def revive(self, node: int) -> None:
        """The node's radio works again."""
        self._dead.discard(node)

    def set_loss(self, node: int, peer: int | None, percent: int | None) -> None:
        """Let a link, or all of a node's links, lose a fixed share; None: back to the model."""
        link = frozenset((node,) if peer is None else (node, peer))
        if percent is None:
            self._loss_percent.pop(link, None)
        else:
            self._loss_percent[link] = percent

    def _free_at(self, now_us: int, node: int, slots: int, duration_us: int) -> int:
        start_us = max(now_us, self._quiet_from_us.get(node, 0))
        near = self._sensed(node)
        heard = [sent for sent in self._pending if sent.node in near]
        backoff_us = slots * SLOT_US // self._time_divisor
        while blockers := [s for s in heard if s.meets(start_us, start_us + duration_us)]:
            start_us = max(sent.end_us for sent in blockers) + backoff_us
        return start_us

    def _senses(self, node: int, transmitter: int) -> bool:
        return transmitter in self._sensed(node)

    def _sensed(self, node: int) -> frozenset[int]:
        """Whose frames hold a node's own back; found once a node, asked for every frame."""
        near = self._near.get(node)
        if near is None:
            near = self._near[node] = frozenset(self._links.senders(node, SENSE_DBM_TENTHS))
        return near

    def _receptions(self, sent: _OnAir) -> Iterable[Arrival]:
        if sent.node in self._dead:
            return
        rivals = [
            other
            for group in (self._pending, self._ended)
            for other in group
            if other.meets(sent.start_us, sent.end_us)
        ]
        senders = {rival.node for rival in rivals}
        rows = [self._links.receivers(rival.node) for rival in rivals]
        for receiver, rssi in self._links.receivers(sent.node).items():
            if receiver not in self._dead and self._hears(sent, receiver, rssi, senders, rows):
                yield Arrival(sent.end_us, receiver, round(rssi / 10), sent.frame)

    def _hears(
        self,
        sent: _OnAir,
        receiver: int,
        rssi: int,
        rivals: set[int],
        rows: list[Mapping[int, int]],
    ) -> bool:
        """Args: rivals: who is on the air at the same time; rows: who hears them, and how loud."""
        if receiver in rivals:
            return False
        noise = [row[receiver] for row in rows if receiver in row]
        if noise and rssi - _sum_tenths(noise) < CAPTURE_DB_TENTHS:
            return False
        chance = self._chance(sent, receiver, rssi)
        return self._coin.toss(sent.node, receiver, sent.number) < chance

    def _chance(self, sent: _OnAir, receiver: int, rssi: int) -> int:
        if self._loss_percent:
            nodes = (sent.node, receiver)
            links = (frozenset(nodes), frozenset(nodes[:1]), frozenset(nodes[1:]))
            given = [self._loss_percent[link] for link in links if link in self._loss_percent]
            if given:
                return SURE * (100 - max(given)) // 100
        return reception(rssi, len(sent.frame))

    def _forget(self, now_us: int) -> None:
        """Keep an ended frame only while one that overlaps it is unfinished."""
        horizon_us = min((sent.start_us for sent in self._pending), default=now_us)
        self._ended = [sent for sent in self._ended if sent.end_us > horizon_us]


def _is_acknowledgement(frame: bytes) -> bool:
    return bool(frame) and frame[0] & 0xF == FrameType.HACK


def _sum_tenths(levels: list[int]) -> float:
    """The sum of powers given in tenths of a dBm; minus infinity for none."""
    if not levels:
        return -math.inf
    return 100 * math.log10(sum(10 ** (level / 100) for level in levels))
