"""What a number of telegrams will change in the store, collected before anything is written. Pure.

A telegram whose seal's counter was taken before is a resend over another way (the meter changed
its gateway): it is archived and changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from headend.ingest.decode import RECEIVED_MS_MAX, received_at

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from headend.ingest.decode import Meter, Outcome, Reason, Value
    from headend.ingest.shapes import Block
    from ohmesh.model.command import CommandResult
    from ohmesh.model.telegram import Telegram
    from ohmesh.wire.report import DeliveryReport, PowerReport, TopologyReport

NO_GATEWAY = 0
"""gateway_id in the archive of a meter with its own modem."""


class Gateway(NamedTuple):
    """What the store knows of a gateway."""

    id: int
    tenant_id: int
    name: str


class Item(NamedTuple):
    """A telegram, where it came from, and the meter it belongs to, if that is known.

    Attributes:
        telegram: as it came.
        gateway: None for a meter with its own modem.
        epoch, seq: its number in the gateway's outbox, or in the archive of direct meters.
        meter: None when unknown.
    """

    telegram: Telegram
    gateway: Gateway | None
    epoch: int
    seq: int
    meter: Meter | None = None


class Touch(NamedTuple):
    """A meter was heard: when, and by which gateway last."""

    seen_ms: int
    gateway_id: int | None


class Held(NamedTuple):
    """A telegram for quarantine."""

    item: Item
    reason: Reason


class Result(NamedTuple):
    """A command's result, from the meter itself; `at_ms`: when a gateway received it."""

    meter: Meter
    counter: int
    result: CommandResult
    at_ms: int


class Noted(NamedTuple):
    """An event of a meter."""

    item: Item
    kind: str
    detail: dict[str, object]


@dataclass(slots=True)
class Effects:
    """Everything that a transaction writes beside the archive and the progress.

    Attributes:
        values: (place of the telegram, meter, reading).
        rows: of each block the telegrams that count: their row, place and meter.
    """

    values: list[tuple[int, int, Value]] = field(default_factory=list)
    rows: dict[Block, list[tuple[int, int, int]]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    touches: dict[int, Touch] = field(default_factory=dict)
    counters: list[tuple[int, int]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    deliveries: list[tuple[Gateway, DeliveryReport]] = field(default_factory=list)
    powers: list[tuple[Gateway, datetime, PowerReport]] = field(default_factory=list)
    topologies: dict[Gateway, tuple[datetime, TopologyReport]] = field(default_factory=dict)
    events: list[Noted] = field(default_factory=list)
    repeated: int = 0


def collect(decoded: Iterable[tuple[Item, Outcome]], seen: set[tuple[int, int]]) -> Effects:
    """The effects of telegrams.

    Args:
        decoded: telegrams with what they say, in the order of arrival.
        seen: (meter, counter) of seals taken before; those of this call are added.
    """
    effects = Effects()
    for place, (item, outcome) in enumerate(decoded):
        if outcome.reason is not None:
            effects.held.append(Held(item, outcome.reason))
        elif item.meter is None:
            _of_gateway(effects, item, outcome)
        elif outcome.counter is None or (item.meter.id, outcome.counter) not in seen:
            _of_meter(effects, item, item.meter, outcome, place)
            if outcome.counter is not None:
                seen.add((item.meter.id, outcome.counter))
                effects.counters.append((item.meter.id, outcome.counter))
        else:
            effects.repeated += 1
    return effects


def _of_gateway(effects: Effects, item: Item, outcome: Outcome) -> None:
    gateway = item.gateway
    if gateway is None:
        return
    if outcome.topology is not None:
        at = received_at(item.telegram)
        if gateway not in effects.topologies or effects.topologies[gateway][0] <= at:
            effects.topologies[gateway] = (at, outcome.topology)
    if outcome.power is not None:
        effects.powers.append((gateway, received_at(item.telegram), outcome.power))
    if outcome.delivery is not None:
        effects.deliveries.append((gateway, outcome.delivery))


def _touch(effects: Effects, item: Item, meter_id: int) -> None:
    seen_ms = min(item.telegram.received_at_ms, RECEIVED_MS_MAX)
    gateway_id = item.gateway.id if item.gateway else None
    known = effects.touches.get(meter_id)
    if known is None or known.seen_ms <= seen_ms:
        effects.touches[meter_id] = Touch(seen_ms, gateway_id)


def _of_meter(effects: Effects, item: Item, meter: Meter, outcome: Outcome, place: int) -> None:
    effects.values += [(place, meter.id, value) for value in outcome.values]
    if outcome.row is not None:
        block, row = outcome.row
        effects.rows.setdefault(block, []).append((row, place, meter.id))
    _touch(effects, item, meter.id)
    if outcome.result is not None and outcome.counter is not None:
        at_ms = min(item.telegram.received_at_ms, RECEIVED_MS_MAX)
        effects.results.append(Result(meter, outcome.counter, outcome.result, at_ms))
    if outcome.event is not None:
        effects.events.append(Noted(item, outcome.event.kind, outcome.event.detail))
