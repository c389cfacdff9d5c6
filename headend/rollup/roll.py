"""One step of the roll-ups: stretches whose intervals have changed, into hours, days and months.

Whatever a bucket holds is computed anew from what lies below it, never added to: late data, an edit
or a second run give the same answer as if everything had come in order. Here too, once a day, is
learned what is usual for a series, from the days that were just rolled up.
"""

from __future__ import annotations

from typing import Final

from headend.store.plan import Plan, Queries

SQL: Final = Queries("headend.rollup", "rollup.sql")
STRETCHES_MAX: Final = 4000


def roll(limit: int = STRETCHES_MAX) -> Plan[int]:
    """Roll up some of the stretches that are due. Returns how many; 0: none are."""
    due = yield SQL("take", limit=limit)
    if not due:
        return 0
    stretches = {
        "meters": [row["meter_id"] for row in due],
        "lows": [row["from_ts"] for row in due],
        "highs": [row["to_ts"] for row in due],
        "zones": [row["zone"] for row in due],
    }
    for query in ("hours", "days", "months", "stale", "stale_gaps"):
        yield SQL(query, **stretches)
    yield SQL("learn", meters=sorted(set(stretches["meters"])))
    yield SQL("done", ids=[row["id"] for row in due])
    return len(due)
