"""Which element explains dark meters best. Pure.

Theory of operation. A meter hangs on elements: its transformer and feeder (from the service point),
the relays that its telegrams pass and its gateway (from the mesh). An element is a candidate when
it explains two dark meters and more, and at least half of the meters behind it are dark: last gasps
get lost, so not all of them can be asked for. Of the candidates the one that explains most dark
meters wins; of equal ones the one with the fewest meters still lit, and then the kind that fails
most often: a transformer before a feeder, and both before a relay or a gateway, which have no part
in the supply. Its meters are taken out and the rest is looked at again; what is left over at the
end stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet


class ElementKind(StrEnum):
    """What an element is; in the order in which equal ones are preferred."""

    TRANSFORMER = "transformer"
    FEEDER = "feeder"
    RELAY = "relay"
    GATEWAY = "gateway"
    METER = "meter"


class Element(NamedTuple):
    """Something that meters hang on."""

    kind: ElementKind
    name: str


DARK_PERCENT_MIN: Final = 50
_RANK: Final = {kind: number for number, kind in enumerate(ElementKind)}


@dataclass(frozen=True, slots=True)
class Group:
    """Dark meters and the element that explains them."""

    element: Element
    meters: frozenset[int]


def locate(
    dark: AbstractSet[int], behind: Mapping[Element, AbstractSet[int]], names: Mapping[int, str]
) -> list[Group]:
    """Dark meters in groups, the largest first.

    Args:
        dark: the meters without supply.
        behind: element -> all meters behind it.
        names: of meters, for those that stand alone.
    """
    left, groups = set(dark), []
    while best := _best(left, behind):
        meters = frozenset(left & behind[best])
        groups.append(Group(best, meters))
        left -= meters
    alone = [Group(Element(ElementKind.METER, names[m]), frozenset({m})) for m in sorted(left)]
    return groups + alone


def _best(dark: AbstractSet[int], behind: Mapping[Element, AbstractSet[int]]) -> Element | None:
    candidates = []
    for element, meters in behind.items():
        explained = len(dark & meters)
        if explained >= 2 and explained * 100 >= DARK_PERCENT_MIN * len(meters):
            lit = len(meters) - explained
            candidates.append((-explained, lit, _RANK[element.kind], element.name, element))
    return min(candidates)[-1] if candidates else None
