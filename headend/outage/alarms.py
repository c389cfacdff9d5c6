"""Last gasps and restorations into alarms. Plans, run by the watch.

Theory of operation. Gasps come as a flood within seconds, so a look waits until none has come for
some seconds, or the first has waited for half a minute. All meters of a utility that went dark
within the window are then looked at together, those of open alarms too: a feeder whose
transformers report one after the other ends as one alarm, and the alarms that it explains close as
`merged`. An alarm closes by itself when its last meter is lit again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headend.outage.locate import Element, ElementKind, Group, locate
from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.outage", "outage.sql")
QUIET: Final = timedelta(seconds=5)
PATIENCE: Final = timedelta(seconds=30)
WINDOW: Final = timedelta(minutes=15)
QUEUE_MAX: Final = 20_000
HOPS_MAX: Final = 64


def step(now: datetime) -> Plan[int]:
    """Look at what has queued up, if it has settled. Returns how many events."""
    rows = yield SQL("queue", limit=QUEUE_MAX)
    if not rows or not _settled(rows, now):
        return 0
    tenants = sorted({row["tenant_id"] for row in rows})
    for tenant in tenants:
        mine = [row for row in rows if row["tenant_id"] == tenant]
        yield from _lose(tenant, _last_losses(mine), now)
    lit = [row for row in rows if not row["lost"]]
    if lit:
        yield SQL("restore", meters=[r["meter_id"] for r in lit], at=[r["at"] for r in lit])
    for row in (yield SQL("close_empty", tenants=tenants, now=now)):
        yield from _note(row["tenant_id"], "alarm.closed", row, now)
    yield SQL("done", ids=[row["event_id"] for row in rows])
    return len(rows)


def _settled(rows: Sequence[Row], now: datetime) -> bool:
    newest = max(row["queued_at"] for row in rows)
    oldest = min(row["queued_at"] for row in rows)
    return bool(now - newest >= QUIET or now - oldest >= PATIENCE)


def _last_losses(rows: Sequence[Row]) -> dict[int, datetime]:
    """Meters that went dark, and when."""
    return {row["meter_id"]: row["at"] for row in rows if row["lost"]}


def _lose(tenant: int, lost: dict[int, datetime], now: datetime) -> Plan[None]:
    if not lost:
        return
    newest = max(lost.values())
    dark = dict(lost)
    for row in (yield SQL("dark", tenant=tenant)):
        if row["meter_id"] in lost or newest - row["lost_at"] <= WINDOW:
            dark[row["meter_id"]] = min(row["lost_at"], dark.get(row["meter_id"], row["lost_at"]))
    meters = yield SQL("elements", tenant=tenant)
    parents = yield SQL("parents", tenant=tenant, at=min(dark.values()))
    behind = elements(meters, {row["node"]: row["parent"] for row in parents})
    names = {row["id"]: row["name"] for row in meters}
    for group in locate(dark.keys(), behind, names):
        yield from _raise(tenant, group, behind, dark, now)


def elements(meters: Sequence[Row], parents: Mapping[int, int]) -> dict[Element, set[int]]:
    """Element -> meters behind it; a relay is behind itself."""
    of_node = {row["node"]: row for row in meters if row["node"] is not None}
    behind: dict[Element, set[int]] = defaultdict(set)
    for row in meters:
        for kind in (ElementKind.TRANSFORMER, ElementKind.FEEDER, ElementKind.GATEWAY):
            if row[kind]:
                behind[Element(kind, row[kind])].add(row["id"])
        node = row["node"]
        for _ in range(HOPS_MAX):
            node = parents.get(node) if node is not None else None
            relay = of_node.get(node) if node is not None else None
            if relay is None:
                break
            behind[Element(ElementKind.RELAY, relay["name"])] |= {row["id"], relay["id"]}
    return dict(behind)


def _raise(
    tenant: int,
    group: Group,
    behind: Mapping[Element, set[int]],
    dark: Mapping[int, datetime],
    now: datetime,
) -> Plan[None]:
    """One alarm for a group; meters that other alarms had move to it."""
    meters = sorted(group.meters)
    times = [dark[meter] for meter in meters]
    alarm = (
        yield SQL(
            "open",
            tenant=tenant,
            kind=group.element.kind,
            element=group.element.name,
            first=min(times),
            last=max(times),
            now=now,
            behind=len(behind.get(group.element, group.meters)),
        )
    )[0]["id"]
    yield SQL("move", tenant=tenant, meters=meters, alarm=alarm)
    yield SQL("add", alarm=alarm, meters=meters, lost=times)
    row = {"id": alarm, "element_kind": group.element.kind, "element": group.element.name}
    yield from _note(tenant, "alarm.outage", row | {"dark": len(meters)}, now)


def _note(tenant: int, kind: str, row: Mapping[str, object], now: datetime) -> Plan[None]:
    """A line in the journal of the utility."""
    detail = {name: value for name, value in row.items() if name != "tenant_id"}
    yield SQL("note", tenant=tenant, now=now, kind=kind, detail=json.dumps(detail))
