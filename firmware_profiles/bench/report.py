"""Times of telegrams -> a row a standard."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firmware_profiles.bench.oracles import Times
    from firmware_profiles.bench.timing import Timed


@dataclass(frozen=True, slots=True)
class Row:
    """One standard; microseconds are CPU time a telegram.

    Attributes:
        us: mean of our codec over all telegrams.
        us_max: the slowest telegram.
        bytes: mean size.
        telegrams: how many.
        oracle: the fastest library that reads the standard, None when there is none.
        oracle_us: its mean over the telegrams that it could read.
        ratio: `oracle_us` over our mean of the same telegrams.
        oracle_telegrams: how many those are.
    """

    us: float
    us_max: float
    bytes: float
    telegrams: int
    oracle: str | None = None
    oracle_us: float | None = None
    ratio: float | None = None
    oracle_telegrams: int = 0

    def as_json(self) -> dict[str, Any]:
        """The row with its numbers rounded."""
        return {k: round(v, 1) if isinstance(v, float) else v for k, v in asdict(self).items()}


def rows(telegrams: Sequence[Timed], oracles: Sequence[Times]) -> dict[str, Row]:
    """A row for each standard, in the order of their names.

    Args:
        telegrams: with our times.
        oracles: the libraries' times of the same telegrams.
    """
    groups: dict[str, list[tuple[Timed, Times]]] = defaultdict(list)
    for telegram, times in zip(telegrams, oracles, strict=True):
        groups[telegram.fields["standard"]].append((telegram, times))
    return {name: _row(groups[name]) for name in sorted(groups)}


def _row(pairs: Sequence[tuple[Timed, Times]]) -> Row:
    ours = [telegram.us for telegram, _ in pairs]
    size = _mean(len(telegram.record.payload) for telegram, _ in pairs)
    row = Row(_mean(ours), max(ours), size, len(ours))
    libraries = sorted({name for _, times in pairs for name in times})
    found = [versus for name in libraries if (versus := _versus(pairs, name))]
    if not found:
        return row
    ratio, oracle_us, count, name = min(found)
    return Row(row.us, row.us_max, size, len(ours), name, oracle_us, ratio, count)


def _versus(
    pairs: Sequence[tuple[Timed, Times]], name: str
) -> tuple[float, float, int, str] | None:
    """Ratio, the library's mean, telegrams and name; None when it read none."""
    both = [(telegram.us, us) for telegram, times in pairs if (us := times.get(name)) is not None]
    if not both:
        return None
    ours, theirs = (_mean(times) for times in zip(*both, strict=True))
    return theirs / ours, theirs, len(both), name


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def as_text(table: dict[str, Row]) -> str:
    """The rows as aligned columns."""
    lines = [f"{'standard':22} {'us':>7} {'max':>7} {'bytes':>6}  {'oracle us':>9} {'ratio':>6}  "]
    for name, row in table.items():
        mine = f"{name:22} {row.us:7.1f} {row.us_max:7.1f} {row.bytes:6.0f}"
        theirs = f"  {row.oracle_us:9.1f} {row.ratio:6.1f}  {row.oracle}" if row.oracle else ""
        lines.append(mine + theirs)
    return "\n".join(line.rstrip() for line in lines)
