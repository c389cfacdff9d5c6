"""The demo's hand on the air: faults for nodes, and what the fleet says of itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from meter_sim.mqtt import AirClient
from ohmesh.model.errors import WireError
from ohmesh.wire import topics
from ohmesh.wire.aircontrol import (
    AirAction,
    AirControl,
    AirStatus,
    decode_status,
    encode_control,
)
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Coroutine

ALL_NODES = 0


class Air:
    """The fleet's newest status, and orders to it."""

    def __init__(self, url: str, net: int) -> None:
        """Args: url: broker of the air. net: the network's number."""
        self._net = net
        self._status: dict[str, AirStatus] = {}
        topic = topics.air_all(net, "status")
        self._client = AirClient(
            BrokerUrl.parse(url), {topic: 0}, hear=self._hear, greet=lambda: None
        )

    def run(self) -> Coroutine[None, None, None]:
        """Listen until cancelled."""
        return self._client.run()

    @property
    def joined(self) -> int:
        """Meters with a route to a gateway."""
        return sum(status.joined for status in self._status.values())

    @property
    def backlog(self) -> int:
        """Reports that no gateway has acknowledged yet."""
        return sum(status.backlog for status in self._status.values())

    @property
    def stopped(self) -> bool:
        """No meter will close a further interval."""
        return bool(self._status) and all(status.stopped for status in self._status.values())

    @property
    def calendar(self) -> datetime:
        """The fleet's simulated time, as of its newest status."""
        return max(datetime.fromisoformat(status.time) for status in self._status.values())

    def kill(self, node: int) -> None:
        """The node's radio and mesh processor die; its metering goes on."""
        self._order(node, AirControl(AirAction.KILL))

    def revive(self, node: int) -> None:
        """The node boots again from what it had stored."""
        self._order(node, AirControl(AirAction.REVIVE))

    def lose(self, node: int, percent: int | None) -> None:
        """All links of the node lose a share of all frames; None gives the radio model back."""
        self._order(node, AirControl(AirAction.LOSS, loss_percent=percent))

    def stick(self, node: int, *, on: bool) -> None:
        """The contact of its relay does not move, or moves again."""
        self._order(node, AirControl(AirAction.STICK, on=on))

    def bypass(self, node: int, *, on: bool) -> None:
        """A wire lies around its relay, or is gone."""
        self._order(node, AirControl(AirAction.BYPASS, on=on))

    def tell(self, node: int, event: str) -> None:
        """The meter notices something."""
        self._order(node, AirControl(AirAction.EVENT, event=event))

    def stop(self) -> bool:
        """Order that no meter closes a further interval; ask again until all say that none will.

        The order may be lost with somebody's connection, like everything on the air.
        """
        if not self.stopped:
            self._order(ALL_NODES, AirControl(AirAction.STOP))
        return self.stopped

    def _order(self, node: int, order: AirControl) -> None:
        self._client.send(topics.air_ctl(self._net, node), encode_control(order))

    def _hear(self, topic: str, payload: bytes) -> None:
        try:
            self._status[topic] = decode_status(payload)
        except WireError:
            return  # a stranger on the topic; the fleet speaks again in half a second
