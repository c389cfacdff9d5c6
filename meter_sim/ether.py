"""The ether: plays the radio for nodes in other processes. Frames and time in, batches out.

It holds the channel (`meter_sim.medium`) and remembers which process listens for which node. A
process that falls silent is forgotten, so that nobody pays for frames to a dead one.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from meter_sim.medium import Medium
from meter_sim.radio import build_links
from ohmesh.mesh import MTU_BYTES
from ohmesh.wire.air import Heard, HeardBatch, Hello
from ohmesh.wire.aircontrol import AirAction, AirControl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meter_sim.roster import Roster

_SILENT_US = 10_000_000
"""Processes announce themselves every second or oftener."""
_log = logging.getLogger(__name__)


class Ether:
    """The radio of one network. Args: nodes: whose radios there are; medium: their channel."""

    def __init__(self, nodes: Iterable[int], medium: Medium) -> None:
        self._nodes = set(nodes)
        self._listener_of: dict[int, str] = {}
        self._greeted_us: dict[str, int] = {}
        self.refused = 0
        """Transmissions that no radio would make: strange nodes, sizes beyond the PHY's."""
        self._medium = medium

    @property
    def next_us(self) -> int | None:
        """When `due` will have something; None while the air is silent."""
        return self._medium.next_end_us

    def transmitted(self, now_us: int, node: int, frame: bytes) -> None:
        """A node's radio sends a frame."""
        if node not in self._nodes or not 0 < len(frame) <= MTU_BYTES:
            self.refused += 1
            return
        self._medium.transmit(now_us, node, frame)

    def greeted(self, now_us: int, hello: Hello) -> None:
        """A process says which nodes it is; the last word counts."""
        if hello.listener not in self._greeted_us:
            strangers = len(set(hello.nodes) - self._nodes)
            _log.info("%s: %s nodes, %s unknown", hello.listener, len(hello.nodes), strangers)
        self._greeted_us[hello.listener] = now_us
        for node in self._nodes.intersection(hello.nodes):
            self._listener_of[node] = hello.listener
        self._forget_silent(now_us)

    def _forget_silent(self, now_us: int) -> None:
        for listener, greeted_us in list(self._greeted_us.items()):
            if now_us - greeted_us > _SILENT_US:
                _log.info("%s: silent", listener)
                del self._greeted_us[listener]

    def ordered(self, node: int, order: AirControl) -> None:
        """A fault for a node; orders for no radio of ours are nobody's business here."""
        if node not in self._nodes:
            return
        if order.action is AirAction.KILL:
            self._medium.kill(node)
        elif order.action is AirAction.REVIVE:
            self._medium.revive(node)
        elif order.action is AirAction.LOSS:
            self._medium.set_loss(node, order.peer, order.loss_percent)

    def due(self, now_us: int) -> dict[str, HeardBatch]:
        """What each listener's nodes have heard by now."""
        heard: dict[str, list[Heard]] = defaultdict(list)
        for arrival in self._medium.completed(now_us):
            listener = self._listener_of.get(arrival.node)
            if listener in self._greeted_us:
                item = Heard(arrival.node, arrival.rssi_dbm, arrival.t_us, arrival.frame)
                heard[listener].append(item)
        return {listener: HeardBatch(items) for listener, items in heard.items()}


def ether_of(roster: Roster) -> Ether:
    """The radio of a roster."""
    medium = Medium(
        build_links(roster.radio.model, roster.seed, roster.sites),
        seed=roster.seed,
        rate_kbps=roster.radio.rate_kbps,
        time_divisor=roster.timer_divisor,
    )
    return Ether((site.node for site in roster.sites), medium)
