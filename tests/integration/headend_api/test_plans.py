"""No filter reads a large table from end to end: the plans of lists, as the API's role has them.

Tables here are small, so the planner is told to avoid sequential scans where it can; a filter
without an index then shows as one, or as an index walked from end to end.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from api_site import OURS

from headend.api.services import SQL
from headend.store import db

LARGE = {"meter", "meter_status", "service_point", "event", "command", "reading", "transfer"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
METERS = dict.fromkeys(("prefix", "profile", "gateway", "silent_since", "group", "feeder"))
METERS |= {"first": "", "last": "z" * 65, "after": "", "limit": 101}
EVENTS = dict.fromkeys(("before", "kind", "meter", "gateway", "period_from", "period_to"))
EVENTS |= {"limit": 101}
COMMANDS = dict.fromkeys(("id", "meter", "state", "before_at", "before_id"))
COMMANDS |= {"limit": 101}
QUESTIONS = [
    ("meters", METERS, {}, "tenant_id"),
    ("meters", METERS, {"first": "M0001", "last": "M0001"}, "name"),
    ("meters", METERS, {"prefix": "M00"}, "tenant_id"),
    ("meters", METERS, {"profile": "nl_dsmr"}, "profile"),
    ("meters", METERS, {"gateway": "gw1"}, "tenant_id"),
    ("meters", METERS, {"silent_since": NOW}, "tenant_id"),
    ("meters", METERS, {"group": "street"}, "tenant_id"),
    ("meters", METERS, {"feeder": "F-1"}, "tenant_id"),
    ("events", EVENTS, {}, "tenant_id"),
    ("events", EVENTS, {"before": 10}, "id"),
    ("events", EVENTS, {"kind": "tamper"}, "kind"),
    ("events", EVENTS, {"meter": "M0001"}, "meter_id"),
    ("events", EVENTS, {"gateway": "gw1"}, "gateway_id"),
    ("events", EVENTS, {"period_from": NOW, "period_to": NOW}, "at"),
    ("commands", COMMANDS, {}, "tenant_id"),
    ("commands", COMMANDS, {"meter": "M0001"}, "meter_id"),
    ("commands", COMMANDS, {"state": "queued"}, "state"),
]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def plan_of(own_site, name, params):
    statement = SQL(name, tenant_id=OURS, **params)
    with db.connect(own_site.urls["api"], name="test") as role:
        role.execute("select set_config('ohmesh.tenant', %s, true)", (str(OURS),))
        role.execute("set local enable_seqscan = off")
        rows = role.execute("explain (format json) " + statement.sql, statement.params).fetchall()
    found = rows[0]["QUERY PLAN"]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


@pytest.mark.parametrize(
    ("name", "params", "asked", "column"),
    QUESTIONS,
    ids=lambda v: str(v) if isinstance(v, str) else "",
)
def test_every_filter_has_a_way(own_site, name, params, asked, column):
    ways = []
    for node in nodes(plan_of(own_site, name, params | asked)):
        ways.append(node.get("Index Cond", ""))
        if node.get("Relation Name") not in LARGE:
            continue
        assert node["Node Type"] != "Seq Scan", node
        if "Index Name" in node:
            assert "Index Cond" in node, node
    assert any(re.search(rf"\b{column}\b", way) for way in ways), ways
