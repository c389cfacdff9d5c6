"""Decode telegrams one after the other, with the counter that each has to exceed. Pure.

A meter that encrypts by its market's standard counts its messages up. A telegram whose counter is
not above the highest taken so far is a replay: it goes to quarantine as `decode:replay` and changes
nothing. Telegrams that waited in quarantine are older than what came since; for them the exact
record of the counters taken decides (`effects.collect`), so that none of them is lost.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from firmware_profiles import registry
from headend.ingest.decode import (
    Outcome,
    decode,
    is_senml,
    open_telegram,
    read_body,
    received_us,
)
from headend.ingest.shapes import Reader, same
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headend.ingest.decode import Body, Meter
    from headend.ingest.effects import Item
    from headend.ingest.shapes import Shapes

_log = logging.getLogger(__name__)
_LEARN_MAX: Final = 4
"""New shapes of one profile and length learned at a time; a stranger may send a new one each."""


def decode_arrived(items: Sequence[Item], shapes: Shapes) -> list[tuple[Item, Outcome]]:
    """What telegrams say, in their order; each meter's counters rise through them.

    Telegrams of meters that do not encrypt may be read in any order: those go by their shape.
    """
    outcomes: list[Outcome | None] = [None] * len(items)
    groups: dict[tuple[str, int], list[tuple[int, Body]]] = {}
    floors: dict[int, int] = {}
    for number, item in enumerate(items):
        meter = item.meter
        opened = open_telegram(item.telegram, meter)
        if isinstance(opened, Outcome):
            outcomes[number] = opened
        elif meter is None:
            raise AssertionError("a body without a meter")
        elif meter.market_keys is not None or is_senml(opened, item.telegram):
            outcomes[number] = _in_turn(item, meter, opened, floors)
        else:
            key = (meter.profile, len(opened.payload))
            groups.setdefault(key, []).append((number, opened))
    for (profile, _), group in groups.items():
        _read_group(profile, group, items, shapes, outcomes)
    return [(item, o) for item, o in zip(items, outcomes, strict=True) if o is not None]


def _in_turn(item: Item, meter: Meter, body: Body, floors: dict[int, int]) -> Outcome:
    outcome = read_body(body, item.telegram, _above(meter, floors.get(meter.id)))
    if outcome.counter is not None and outcome.reason is None:
        floors[meter.id] = outcome.counter
    return outcome


def _read_group(
    profile: str,
    group: list[tuple[int, Body]],
    items: Sequence[Item],
    shapes: Shapes,
    outcomes: list[Outcome | None],
) -> None:
    """Read telegrams of one profile and length: by known shapes, by new ones, then one by one."""
    size = len(group[0][1].payload)
    for reader in tuple(shapes.of(profile, size)):
        group = _read_known(reader, group, items, outcomes)
    for _ in range(_LEARN_MAX):
        if not group:
            return
        (number, body), *group = group
        outcomes[number] = outcome = _read_one(items[number], body)
        learned = _learn(profile, items[number], body, outcome)
        if learned is not None:
            shapes.add(profile, size, learned)
            group = _read_known(learned, group, items, outcomes)
    for number, body in group:
        outcomes[number] = _read_one(items[number], body)


def _read_known(
    reader: Reader,
    group: list[tuple[int, Body]],
    items: Sequence[Item],
    outcomes: list[Outcome | None],
) -> list[tuple[int, Body]]:
    """Read what a template covers; the rest."""
    if not group:
        return group
    block, taken = reader.read(
        [body.payload for _, body in group], [received_us(items[i].telegram) for i, _ in group]
    )
    for row, at in enumerate(taken):
        number, body = group[at]
        outcomes[number] = Outcome(row=(block, row), counter=body.counter)
    if len(taken) == len(group):
        return []
    read = set(taken)
    return [one for at, one in enumerate(group) if at not in read]


def _read_one(item: Item, body: Body) -> Outcome:
    assert item.meter is not None
    return read_body(body, item.telegram, item.meter)


def _learn(profile: str, item: Item, body: Body, outcome: Outcome) -> Reader | None:
    """The reader of this telegram's shape; None unless it says what the full decoder says."""
    learn = getattr(_load(profile), "learn", None)
    if learn is None or outcome.reason is not None:
        return None
    try:
        template = learn(body.payload)
        if template is None:
            return None
        reader = Reader(template)
        block, taken = reader.read([body.payload], [received_us(item.telegram)])
    except Exception:  # noqa: BLE001 - a profile may come from anybody; the full decoder stays
        _log.exception("the profile %s learned a shape that cannot be read", profile)
        return None
    return reader if taken and same(block, 0, outcome.values) else None


def _load(profile: str) -> object:
    try:
        return registry.load(profile)
    except ProfileError:
        return None


def decode_waited(items: Iterable[Item]) -> list[tuple[Item, Outcome]]:
    """What telegrams from quarantine say; no counter is too low for them."""
    return [(item, decode(item.telegram, item.meter and _anyhow(item.meter))) for item in items]


def _above(meter: Meter, counter: int | None) -> Meter:
    """The meter with a higher floor."""
    if meter.market_keys is None or counter is None:
        return meter
    return replace(meter, market_keys=replace(meter.market_keys, counter_floor=counter))


def _anyhow(meter: Meter) -> Meter:
    if meter.market_keys is None:
        return meter
    return replace(meter, market_keys=replace(meter.market_keys, counter_floor=None))
