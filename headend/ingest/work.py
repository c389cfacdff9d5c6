"""Messages from the broker, sorted by what they are. Pure; any bytes end in one of the lists.

A batch that is no batch (garbage, another version, too large, in another gateway's name) is
`Refused`: nobody will ever make sense of it, so it is acknowledged to the broker and kept in
quarantine as evidence, cut and counted. Its gateway, if it is one, still has the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ohmesh.model.errors import Malformed, WireError
from ohmesh.wire import topics
from ohmesh.wire.uplink import UplinkBatch, decode_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.mqtt import Delivery

STATES: Final = frozenset({"online", "offline"})
STATE_BYTES_MAX: Final = 4096
DIRECT_BYTES_MAX: Final = 64 * 1024


class Direct(NamedTuple):
    """A message of a meter with its own modem."""

    meter: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is none of ours."""

    topic: str
    reason: str
    message: str
    payload: bytes


_meter_of: Final = lru_cache(maxsize=100_000)(topics.meter_of)
"""Those of one meter come again and again."""


@dataclass(slots=True)
class Work:
    """What a number of messages ask for.

    Attributes:
        states: gateway -> online or offline, the last one.
        telegrams: how many there are in all.
    """

    batches: list[UplinkBatch] = field(default_factory=list)
    direct: list[Direct] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    telegrams: int = 0


def sort(
    deliveries: Sequence[Delivery], telegrams_max: int, work: Work | None = None
) -> tuple[Work, int]:
    """Sort messages, into `work` where there is some, until it holds `telegrams_max` telegrams.

    Returns: the work, and how many of these messages are in it. Raises nothing.
    """
    work = work or Work()
    for number, delivery in enumerate(deliveries):
        if work.telegrams >= telegrams_max:
            return work, number
        try:
            work.telegrams += _sort_one(work, delivery)
        except WireError as error:
            reason = f"batch:{type(error).__name__.lower()}"
            work.refused.append(Refused(delivery.topic, reason, str(error), delivery.payload))
    return work, len(deliveries)


def _sort_one(work: Work, delivery: Delivery) -> int:
    """Sort one message; the number of its telegrams."""
    topic, payload, _, _ = delivery
    if topic.startswith("ohmesh/v1/meter/"):
        if len(payload) > DIRECT_BYTES_MAX:
            raise Malformed(f"a meter's message of {len(payload)} bytes")
        work.direct.append(Direct(_meter_of(topic), payload))
        return 1
    if topic.endswith("/state"):
        work.states[topics.gateway_of(topic)] = _state(payload)
        return 0
    batch = _batch(delivery)
    work.batches.append(batch)
    return len(batch.rows)


def _batch(delivery: Delivery) -> UplinkBatch:
    gateway = topics.gateway_of(delivery.topic)
    batch = decode_batch(delivery.payload)
    if batch.gateway != gateway:
        raise Malformed(f"a batch of gateway {batch.gateway} on the topic of {gateway}")
    return batch


def _state(payload: bytes) -> str:
    try:
        body = msgspec.json.decode(payload[:STATE_BYTES_MAX], type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"a state that is no JSON object: {error}") from error
    state = body.get("state")
    if state not in STATES:
        raise Malformed("a state is online or offline")
    return str(state)
