"""How full the outbox is, and how long it lasts without the head-end; for people and for doctor."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.outbox_file import OutboxState

_HOUR_MS = 3_600_000
_RATE_SPAN_MS = 60_000
"""Rows that span less time than this say nothing about a rate."""


@dataclass(frozen=True, slots=True)
class OutboxSpan:
    """UTC milliseconds at which three rows were received; None where there is no such time."""

    oldest_kept_ms: int | None
    oldest_waiting_ms: int | None
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class OutboxSummary:
    """One look at the outbox.

    Attributes:
        at_ms: UTC milliseconds since 1970 of the look.
        epoch: identity of the file.
        waiting: telegrams that the head-end has not acknowledged.
        kept: acknowledged telegrams that are still kept.
        oldest_waiting_s: age of the oldest waiting telegram, 0 when none waits.
        used_bytes: of the file.
        max_bytes: bound on `used_bytes`.
        telegrams_per_hour: present rate, None while too little is known.
        hours_left: until the bound, were the head-end gone now; None while too little is known.
        thinned: telegrams that sources left out since the start, because the outbox fills.
    """

    at_ms: int
    epoch: int
    waiting: int
    kept: int
    oldest_waiting_s: int
    used_bytes: int
    max_bytes: int
    telegrams_per_hour: float | None
    hours_left: float | None
    thinned: int = 0


def summarise(
    state: OutboxState, span: OutboxSpan, now_ms: int, *, thinned: int = 0
) -> OutboxSummary:
    """Judge the outbox by the rows it keeps."""
    rows = state.next_seq - state.first_seq
    rate = _telegrams_per_hour(rows, span)
    row_bytes = state.used_bytes / max(1, rows)
    room_bytes = state.max_bytes - row_bytes * state.backlog
    oldest_ms = span.oldest_waiting_ms
    return OutboxSummary(
        at_ms=now_ms,
        epoch=state.epoch,
        waiting=state.backlog,
        kept=rows - state.backlog,
        oldest_waiting_s=0 if oldest_ms is None else max(0, now_ms - oldest_ms) // 1000,
        used_bytes=state.used_bytes,
        max_bytes=state.max_bytes,
        telegrams_per_hour=None if rate is None else round(rate, 1),
        hours_left=None if not rate else round(room_bytes / row_bytes / rate, 1),
        thinned=thinned,
    )


def _telegrams_per_hour(rows: int, span: OutboxSpan) -> float | None:
    if span.oldest_kept_ms is None or span.newest_ms is None:
        return None
    span_ms = span.newest_ms - span.oldest_kept_ms
    return None if span_ms < _RATE_SPAN_MS else rows * _HOUR_MS / span_ms


def status_path(outbox: Path) -> Path:
    """Where a running gateway leaves its summary, because it locks the outbox itself."""
    return outbox.with_name(outbox.name + ".status")


def write_summary(outbox: Path, summary: OutboxSummary) -> None:
    """Leave the summary beside the outbox; not synced, it is only for looking at."""
    path = status_path(outbox)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(asdict(summary)))
    fresh.replace(path)


def read_summary(outbox: Path) -> OutboxSummary | None:
    """The last summary of a running gateway, None when there is none."""
    try:
        return OutboxSummary(**json.loads(status_path(outbox).read_text()))
    except (OSError, ValueError, TypeError):
        return None
