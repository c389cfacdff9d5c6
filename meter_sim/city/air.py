"""The exact radio channel of a city: who is heard when several frames are in the air.

What arrives is decided as in `meter_sim.medium`: the receiver was silent, the frame was 8 dB above
the sum of all others there, and the shared coin says so; for the same frames at the same times the
outcome is the same, which a test compares. What differs is how a frame gets its time: here a radio
listens at the moment it wants to start, so an acknowledgement, which needs no backoff, comes
before those who wait for the channel, as it does in IEEE 802.15.4. And the cost: a unicast is
judged at its destination only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.city.weather import STILL, Weather
from meter_sim.coin import Coin
from meter_sim.medium import CAPTURE_DB_TENTHS, PHY_BYTES, SENSE_DBM_TENTHS
from meter_sim.radio import reception

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.city.links import LinkTable


@dataclass(slots=True, eq=False)
class Sent:
    """A frame on the air."""

    start_us: int
    end_us: int
    node: int
    number: int
    length: int


class Air:
    """One channel over a table of links.

    Args:
        links: who hears whom.
        seed: of the loss coin.
        rate_kbps: speed of the PHY.
        weather: how links change with time; it moves what carries a frame, not what disturbs one.
    """

    def __init__(
        self, links: LinkTable, *, seed: int, rate_kbps: int, weather: Weather = STILL
    ) -> None:
        self._links = links
        self._weather = weather
        self._rows: dict[int, dict[int, int]] = {}
        self._coin = Coin(seed)
        self._rate_kbps = rate_kbps
        self._recent: list[Sent] = []
        self._counts: dict[int, int] = {}
        self.cut: set[tuple[int, int]] = set()
        """Links (transmitter, receiver) that carry nothing; what they disturb stays."""
        self.airtime_us = 0
        self.collided = 0
        self.lost = 0

    def row(self, node: int) -> dict[int, int]:
        """Receiver -> RSSI in tenths of a dBm."""
        row = self._rows.get(node)
        if row is None:
            row = self._rows[node] = self._links.row(node)
        return row

    def duration_us(self, length_bytes: int) -> int:
        """How long a frame is on the air."""
        return (length_bytes + PHY_BYTES) * 8 * 1000 // self._rate_kbps

    def start(self, now_us: int, node: int, length_bytes: int) -> Sent:
        """Put a frame on the air now."""
        number = self._counts.get(node, 0)
        self._counts[node] = number + 1
        duration_us = self.duration_us(length_bytes)
        sent = Sent(now_us, now_us + duration_us, node, number, length_bytes)
        self._recent.append(sent)
        self.airtime_us += duration_us
        return sent

    def busy_until_us(self, now_us: int, node: int) -> int:
        """When the last of the frames ends that a node hears now; 0 when it hears none."""
        busy_us = 0
        for sent in self._recent:
            if sent.end_us > now_us and sent.end_us > busy_us and self._senses(node, sent.node):
                busy_us = sent.end_us
        return busy_us

    def heard_by(self, sent: Sent, receiver: int) -> int | None:
        """The loudness (tenths of a dBm) one receiver got a frame with; asked at its end."""
        rssi = self.row(sent.node).get(receiver)
        if rssi is None or (sent.node, receiver) in self.cut:
            return None
        return rssi if self._passes(sent, receiver, rssi, self._rivals(sent)) else None

    def heard(self, sent: Sent) -> Iterator[tuple[int, int]]:
        """All receivers of a frame with their loudness; asked at its end."""
        rivals = self._rivals(sent)
        for receiver, rssi in self.row(sent.node).items():
            cut = self.cut and (sent.node, receiver) in self.cut
            if not cut and self._passes(sent, receiver, rssi, rivals):
                yield receiver, rssi

    def forget(self, now_us: int) -> None:
        """Drop ended frames that no unfinished one overlaps."""
        unfinished = (sent.start_us for sent in self._recent if sent.end_us > now_us)
        horizon_us = min(unfinished, default=now_us)
        self._recent = [sent for sent in self._recent if sent.end_us > horizon_us]

    def _senses(self, node: int, transmitter: int) -> bool:
        return self.row(transmitter).get(node, SENSE_DBM_TENTHS - 1) >= SENSE_DBM_TENTHS

    def _rivals(self, sent: Sent) -> list[int]:
        start_us, end_us = sent.start_us, sent.end_us
        return [
            other.node
            for other in self._recent
            if other.start_us < end_us and start_us < other.end_us and other is not sent
        ]

    def _passes(self, sent: Sent, receiver: int, rssi: int, rivals: list[int]) -> bool:
        if not self._weather.is_still:
            rssi += self._weather.shift_tenths(sent.start_us, sent.node, receiver)
        chance = reception(rssi, sent.length)
        if not chance:
            return False
        if rivals and not self._captures(receiver, rssi, rivals):
            self.collided += 1
            return False
        if self._coin.toss(sent.node, receiver, sent.number) < chance:
            return True
        self.lost += 1
        return False

    def _captures(self, receiver: int, rssi: int, rivals: list[int]) -> bool:
        if receiver in rivals:
            return False
        levels = [self.row(rival).get(receiver) for rival in rivals]
        noise = sum(10 ** (level / 100) for level in levels if level is not None)
        return not noise or rssi - 100 * math.log10(noise) >= CAPTURE_DB_TENTHS
