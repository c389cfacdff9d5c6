"""Where `ohmesh sim ether` is put together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from meter_sim.ether import Ether, ether_of
from meter_sim.mqtt import AirClient
from meter_sim.pump import Alarm, Clock, until_told
from ohmesh.model.errors import WireError
from ohmesh.wire import topics
from ohmesh.wire.air import decode_hello, encode_air
from ohmesh.wire.aircontrol import decode_control

if TYPE_CHECKING:
    from meter_sim.roster import Roster
    from ohmesh.wire.brokerurl import BrokerUrl

_log = logging.getLogger(__name__)


class EtherApp:
    """The ether on a broker."""

    def __init__(self, ether: Ether, net: int, air: BrokerUrl) -> None:
        self._ether = ether
        self._net = net
        self._clock = Clock()
        self._alarm = Alarm(self._clock, lambda: ether.next_us, self._ring)
        filters = {
            topics.air_all(net, "tx"): 0,
            topics.air_all(net, "ctl"): 1,
            topics.air_hello(net): 0,
        }
        self._client = AirClient(air, filters, hear=self._hear, greet=lambda: None)

    async def run(self) -> None:
        """Play the radio until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.run(), name="air")
            tasks.create_task(self._alarm.run(), name="alarm")

    def _hear(self, topic: str, payload: bytes) -> None:
        try:
            if topic == topics.air_hello(self._net):
                self._ether.greeted(self._clock.now_us, decode_hello(payload))
            elif topics.air_channel(topic) == "tx":
                self._ether.transmitted(self._clock.now_us, topics.air_node(topic), payload)
                self._alarm.check()
            else:
                self._ether.ordered(topics.air_node(topic), decode_control(payload))
        except WireError as error:
            _log.warning("%s: %s", topic, error)

    def _ring(self) -> None:
        for listener, batch in self._ether.due(self._clock.now_us).items():
            self._client.send(topics.air_rx(self._net, listener), encode_air(batch))


def run_ether(roster: Roster, air: BrokerUrl) -> None:
    """Play the radio until SIGINT or SIGTERM."""
    asyncio.run(until_told(EtherApp(ether_of(roster), roster.net, air).run()))
