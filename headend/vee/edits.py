"""What people want done with intervals: each is a version of its own, or settles an exception.

| kind | what it does |
|---|---|
| `set` | writes the given values; they stand until `revert`, whatever readings come |
| `estimate` | writes estimates in the person's name, scaled to what the intervals add up to now |
| `accept` | settles the open exceptions; the values stay |
| `revert` | takes a person's values back: validation decides again |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headend.store import db
from headend.store.plan import Queries
from headend.vee import channels, estimate, store
from headend.vee.model import SECOND_US, Gap, Intervals, Method
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from datetime import datetime

    from headend.store.db import Connection
    from headend.store.plan import Row
    from headend.vee.pump import Rulebook

SQL: Final = Queries("headend.vee", "edits.sql")
EDITS_MAX: Final = 50


class Refused(Exception):  # noqa: N818 - an answer to a person, not a fault
    """The edit cannot be done; the text says why."""


def apply(connection: Connection, rulebook: Rulebook, now: datetime) -> int:
    """Do the edits that were asked for, in the caller's transaction. Returns how many."""
    asked = db.rows(connection, SQL("asked", limit=EDITS_MAX))
    for edit in asked:
        try:
            count, detail, state = _do(connection, edit, rulebook, now), "", "done"
        except Refused as error:
            count, detail, state = 0, str(error), "refused"
        db.execute(
            connection,
            SQL("settle", id=edit["id"], state=state, detail=detail, intervals=count, now=now),
        )
    return len(asked)


def _do(connection: Connection, edit: Row, rulebook: Rulebook, now: datetime) -> int:
    """Returns the intervals, or exceptions, that it changed."""
    if edit["kind"] == "accept":
        return db.execute(
            connection, SQL("accept", **_stretch(edit), author=edit["author"], now=now)
        )
    if edit["kind"] == "revert":
        count = db.execute(
            connection, SQL("revert", **_stretch(edit), author=edit["author"], now=now)
        )
        db.execute(
            connection,
            SQL("touch", meter=edit["meter_id"], low=edit["from_ts"], high=edit["to_ts"]),
        )
        return count
    return _write(connection, edit, rulebook, now)


def _stretch(edit: Row) -> dict[str, object]:
    return {
        "meter": edit["meter_id"],
        "channel": edit["channel"],
        "low": edit["from_ts"],
        "high": edit["to_ts"],
    }


def _write(connection: Connection, edit: Row, rulebook: Rulebook, now: datetime) -> int:
    length = edit["interval_s"] * SECOND_US
    low, high = edit["from_us"], edit["to_us"]
    if low % length or high % length:
        raise Refused(f"the stretch must begin and end on the meter's {edit['interval_s']} s")
    channel = _channel(connection, edit)
    gap = Gap(0, low, high, None)
    if edit["kind"] == "set":
        values, method, flag = edit["amounts"], Method.EDIT, Quality.EDITED
        if len(values) != (high - low) // length:
            raise Refused(f"{(high - low) // length} values are needed, not {len(values)}")
    else:
        gap, known = _around(connection, edit, channel, length)
        values, method = estimate.fill(gap, known, rulebook.shape, rulebook.limits)
        flag = Quality.EDITED | Quality.ESTIMATED
    ends = np.arange(low + length, high + 1, length, dtype=np.int64)
    same = np.ones(len(ends), dtype=np.int64)
    intervals = Intervals(
        0 * same,
        ends,
        np.array(values, dtype=np.int64),
        int(flag) * same,
        0 * same,
        int(method) * same,
    )
    series = store.one(edit["meter_id"], channel, length)
    count = store.merge(
        connection, intervals, series, same.astype(np.bool_), now=now, author=edit["author"]
    )
    db.execute(connection, SQL("edited", **_stretch(edit), author=edit["author"], now=now))
    db.execute(
        connection, SQL("due", meter=edit["meter_id"], low=edit["from_ts"], high=edit["to_ts"])
    )
    return count


def _channel(connection: Connection, edit: Row) -> int:
    found = db.rows(connection, SQL("channel", meter=edit["meter_id"], name=edit["channel"]))
    if not found or edit["channel"] not in channels.kinds():
        raise Refused(f"the meter has no intervals of {edit['channel']}")
    return int(found[0]["channel"])


def _around(
    connection: Connection, edit: Row, channel: int, length: int
) -> tuple[Gap, estimate.Known]:
    """The stretch as a gap with the sum that it has now, and what is known around it."""
    low, high = edit["from_us"], edit["to_us"]
    found = {
        row["end_us"]: row
        for row in db.rows(
            connection,
            SQL(
                "around",
                meter=edit["meter_id"],
                channel=channel,
                low=low - estimate.LOOK_BACK_US,
                high=high + length,
            ),
        )
    }
    inside = [found.get(end) for end in range(low + length, high + 1, length)]
    whole = [row["value"] for row in inside if row is not None]
    total = sum(whole) if len(whole) == len(inside) else None
    past = {
        end: row["value"]
        for end, row in found.items()
        if end <= low and not row["quality"] & int(Quality.ESTIMATED | Quality.EDITED)
    }
    before, after = found.get(low), found.get(high + length)
    known = estimate.Known(
        length,
        store.zone(edit["zone"]),
        None if before is None else before["value"],
        None if after is None else after["value"],
        past,
        edit["usual_day"] or 0,
    )
    return Gap(0, low, high, total), known
