from __future__ import annotations

import pytest

from gateway.outbox_file import OutboxState
from gateway.outbox_summary import (
    OutboxSpan,
    read_summary,
    status_path,
    summarise,
    write_summary,
)

HOUR_MS = 3_600_000


def test_hours_left_at_the_present_rate():
    """1000 rows of 100 bytes in 2 hours, 400 of them waiting, 1 MB allowed."""
    state = OutboxState(1, 0, 600, 1000, 100_000, 1_000_000)
    span = OutboxSpan(oldest_kept_ms=0, oldest_waiting_ms=HOUR_MS, newest_ms=2 * HOUR_MS)
    summary = summarise(state, span, 3 * HOUR_MS)
    assert summary.waiting == 400
    assert summary.kept == 600
    assert summary.oldest_waiting_s == 7200
    assert summary.telegrams_per_hour == 500.0
    assert summary.hours_left == 19.2  # (1 000 000 - 40 000) / 100 / 500


@pytest.mark.parametrize(
    "span",
    [
        OutboxSpan(None, None, None),
        OutboxSpan(oldest_kept_ms=5, oldest_waiting_ms=None, newest_ms=5),
        OutboxSpan(oldest_kept_ms=HOUR_MS, oldest_waiting_ms=HOUR_MS, newest_ms=0),
    ],
)
def test_too_little_says_nothing(span):
    summary = summarise(OutboxState(1, 0, 0, 1, 8192, 1_000_000), span, 0)
    assert summary.hours_left is None
    assert summary.telegrams_per_hour is None


def test_a_full_outbox_has_no_hours_left():
    state = OutboxState(1, 0, 0, 1000, 1_000_000, 1_000_000)
    assert summarise(state, OutboxSpan(0, 0, HOUR_MS), HOUR_MS).hours_left == 0


def test_the_word_of_a_running_gateway_is_read_back(path):
    summary = summarise(OutboxState(1, 0, 0, 5, 8192, 9000), OutboxSpan(0, 0, HOUR_MS), HOUR_MS)
    assert read_summary(path) is None
    write_summary(path, summary)
    assert read_summary(path) == summary
    status_path(path).write_text('{"at_ms": 1}')
    assert read_summary(path) is None
    status_path(path).write_text("\x00")
    assert read_summary(path) is None
