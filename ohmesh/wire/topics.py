"""MQTT topics. Ids in topics are checked, so that none can hold a wildcard or a level.

ohmesh/v1/gw/{gateway}/up      gateway -> head-end   UplinkBatch        QoS 1
ohmesh/v1/gw/{gateway}/ack     head-end -> gateway   Ack                QoS 0, resent on demand
ohmesh/v1/gw/{gateway}/down    head-end -> gateway   DownMessage        QoS 0, resent from the table
ohmesh/v1/gw/{gateway}/state   gateway               state JSON         QoS 1, retained, will
ohmesh/v1/meter/{meter}/up     meter with a modem    telegram or SenML  QoS 1
ohmesh/air/{net}/tx/{node}     the simulated radio (meter_sim, gateway mesh driver)  QoS 0
ohmesh/air/{net}/rxp/{listener}     what the nodes of one process hear  QoS 0
ohmesh/air/{net}/ctl/{node}    orders for simulated nodes  QoS 1
ohmesh/air/{net}/status/{listener}  counts of a process of simulated meters  QoS 0
"""

from __future__ import annotations

from ohmesh.model.errors import Malformed, ModelError
from ohmesh.model.ids import GatewayId, MeterId, gateway_id, meter_id

SHARED_GROUP = "headend"
ALL_UPLINKS = "ohmesh/v1/gw/+/up"
ALL_STATES = "ohmesh/v1/gw/+/state"
ALL_DIRECT = "ohmesh/v1/meter/+/up"


def shared(topic_filter: str) -> str:
    """The filter as a shared subscription of the head-end's workers (MQTT 5, 4.8.2)."""
    return f"$share/{SHARED_GROUP}/{topic_filter}"


def gateway_topic(gateway: GatewayId, channel: str) -> str:
    """A gateway's topic: channel is `up`, `ack`, `down` or `state`."""
    return f"ohmesh/v1/gw/{gateway}/{channel}"


def gateway_of(topic: str) -> GatewayId:
    """The gateway that a topic names. Raises Malformed when it names none."""
    levels = topic.split("/")
    if len(levels) != 5 or levels[:3] != ["ohmesh", "v1", "gw"]:
        raise Malformed(f"{topic!r} is not a gateway topic")
    try:
        return gateway_id(levels[3])
    except ModelError as error:
        raise Malformed(str(error)) from error


def meter_topic(meter: MeterId) -> str:
    """The topic of a meter with its own modem."""
    return f"ohmesh/v1/meter/{meter}/up"


def meter_of(topic: str) -> MeterId:
    """The meter that a direct topic names. Raises Malformed when it names none."""
    levels = topic.split("/")
    if len(levels) != 5 or levels[:3] != ["ohmesh", "v1", "meter"] or levels[4] != "up":
        raise Malformed(f"{topic!r} is not a meter topic")
    try:
        return meter_id(levels[3])
    except ModelError as error:
        raise Malformed(str(error)) from error


def air_tx(net: int, node: int) -> str:
    """One publish per radio transmission of a node; the payload is the frame."""
    return f"ohmesh/air/{net}/tx/{node}"


def air_rx(net: int, listener: str) -> str:
    """What the medium lets the nodes of one process hear (`ohmesh.wire.air.Heard`)."""
    return f"ohmesh/air/{net}/rxp/{listener}"


def air_ctl(net: int, node: int) -> str:
    """Orders for a simulated node, 0 for all (`ohmesh.wire.aircontrol.AirControl`, JSON)."""
    return f"ohmesh/air/{net}/ctl/{node}"


def air_status(net: int, listener: str) -> str:
    """What a process of simulated meters says of itself (`ohmesh.wire.aircontrol.AirStatus`)."""
    return f"ohmesh/air/{net}/status/{listener}"


def air_hello(net: int) -> str:
    """Where a process of nodes announces itself to the ether (`ohmesh.wire.air.Hello`)."""
    return air_rx(net, "hello")


def air_all(net: int, channel: str) -> str:
    """The filter for one channel of all nodes: `tx`, `ctl` or `status`."""
    return f"ohmesh/air/{net}/{channel}/+"


def air_channel(topic: str) -> str:
    """The channel of an air topic: `tx`, `rxp`, `ctl`, `status`; empty for another topic."""
    levels = topic.split("/")
    return levels[3] if len(levels) == 5 and levels[:2] == ["ohmesh", "air"] else ""


def air_node(topic: str) -> int:
    """The node that a `tx` or `ctl` topic names. Raises Malformed when it names none."""
    if air_channel(topic) not in {"tx", "ctl"}:
        raise Malformed(f"{topic!r} is not a topic of a node on the air")
    digits = topic.rpartition("/")[2]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise Malformed(f"{digits!r} is no node number")
    return int(digits)
