"""A flood of last gasps in the database ends as one alarm that names the element."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.service.fleet import add_service_point
from headend.watch import Watch
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.report import PowerReport, encode_report
from ohmesh.wire.uplink import encode_batch

AT = datetime(2026, 3, 27, 12, tzinfo=UTC)


class Town:
    """Two transformers on one feeder, four meters at each."""

    def __init__(self, store):
        self.store = store
        self.owner = store.connect("owner")
        self.ingest = store.connect("ingest")
        self.worker = store.connect("worker")
        self.gateway = store.gateway()
        self.meters = [store.meter(f"M{i}", key=None, address=f"mesh-{i:08x}") for i in range(8)]
        for i, meter in enumerate(self.meters):
            place = store.ask(add_service_point(1, f"home {i}"))
            self.owner.execute(
                "update ohmesh.service_point set transformer = %s, feeder = 'F' where id = %s",
                (f"T{i // 4 + 1}", place),
            )
            self.owner.execute(
                "update ohmesh.meter set service_point_id = %s where id = %s", (place, meter)
            )

    def tell(self, kind, meters, at=AT):
        for meter in meters:
            self.ingest.execute(
                "insert into ohmesh.event (tenant_id, meter_id, gateway_id, at, kind)"
                " values (1, %s, %s, %s, %s)",
                (self.meters[meter], self.gateway, at, kind),
            )

    def look(self, later_s=10):
        now = datetime.now(UTC) + timedelta(seconds=later_s)
        watch = Watch(url=self.store.urls["worker"], now=lambda: now)
        while watch.step(self.worker):
            pass

    def alarms(self):
        rows = self.store.rows(
            "select a.element_kind, a.element, a.state, a.closed_by, a.behind,"
            " (select count(*) from ohmesh.alarm_meter x where x.alarm_id = a.id"
            "  and x.restored_at is null) as dark from ohmesh.alarm a order by a.id"
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def town(store):
    return Town(store)


def test_a_flood_is_one_alarm_that_closes_when_all_are_lit(town):
    town.tell("last_gasp", [0, 1, 2])
    town.tell("power_lost", [2])  # told twice
    town.look()
    assert town.alarms() == [("transformer", "T1", "open", None, 4, 3)]
    town.tell("power_restored", [0, 1], AT + timedelta(minutes=20))
    town.look()
    assert town.alarms() == [("transformer", "T1", "open", None, 4, 1)]
    town.tell("power_restored", [2, 3], AT + timedelta(minutes=21))
    town.look()
    assert town.alarms() == [("transformer", "T1", "closed", "restoration", 4, 0)]
    assert town.store.value("select count(*) from bulk.outage_queue") == 0
    kinds = town.store.rows("select kind from ohmesh.event where kind like 'alarm%%' order by id")
    assert [k["kind"] for k in kinds] == ["alarm.outage", "alarm.closed"]


def test_last_gasps_that_a_mesh_heard_are_one_alarm(town):
    """From the gateway's telegram to the alarm; nodes of nobody and of another utility are none."""
    told = [(False, [0, 1, 2, 9999]), (True, [0, 1, 2])]
    for number, (restored, nodes) in enumerate(told):
        payload = encode_report(PowerReport(restored, nodes))
        at_ms = int(AT.timestamp() * 1000) + number
        one = Telegram(TelegramKind.POWER, "mesh", "", "", at_ms, payload)
        batch = encode_batch("gw1", 1, number, [one])
        work, _ = sort([Delivery(topics.gateway_topic("gw1", "up"), batch)], 10)
        Writer(town.store.keystore).store(town.ingest, work, now_ms=at_ms)
        town.look()
        state, closed_by, dark = ("closed", "restoration", 0) if restored else ("open", None, 3)
        assert town.alarms() == [("transformer", "T1", state, closed_by, 4, dark)]
    assert town.store.value("select count(*) from ohmesh.event where detail->>'by' = 'mesh'") == 6


def test_a_flood_is_waited_for(town):
    town.tell("last_gasp", [0, 1])
    town.look(later_s=2)
    assert town.alarms() == []
    town.look(later_s=6)
    assert town.alarms() == [("transformer", "T1", "open", None, 4, 2)]


def test_transformers_that_report_one_after_the_other_end_as_their_feeder(town):
    town.tell("last_gasp", [0, 1, 2, 3])
    town.look()
    town.tell("last_gasp", [4, 5, 6, 7], AT + timedelta(minutes=2))
    town.look()
    assert town.alarms() == [
        ("transformer", "T1", "closed", "merged", 4, 0),
        ("feeder", "F", "open", None, 8, 8),
    ]


def test_an_old_outage_does_not_draw_a_new_one_to_it(town):
    town.tell("last_gasp", [0, 1, 2, 3])
    town.look()
    town.tell("last_gasp", [4, 5, 6, 7], AT + timedelta(hours=2))
    town.look()
    assert [alarm[:2] for alarm in town.alarms()] == [("transformer", "T1"), ("transformer", "T2")]


def test_a_relay_is_named_by_the_routes_of_the_time_before(town):
    town.owner.execute("update ohmesh.service_point set transformer = null, feeder = null")
    town.owner.execute(
        "insert into ohmesh.route (gateway_id, node, parent, etx_128ths, hops, reported_at)"
        " select %s, n, case n when 5 then 99 else 5 end, 128, 1, %s from generate_series(5, 7) n",
        (town.gateway, AT - timedelta(hours=1)),
    )
    town.owner.execute("delete from ohmesh.route")
    town.owner.execute(
        "insert into ohmesh.route (gateway_id, node, parent, etx_128ths, hops, reported_at)"
        " values (%s, 1, 99, 128, 1, %s)",
        (town.gateway, AT + timedelta(minutes=5)),
    )
    town.tell("last_gasp", [5, 6, 7])
    town.look()
    assert town.alarms() == [("relay", "M5", "open", None, 3, 3)]


def test_routes_are_kept_through_time(town):
    def report(at, *routes):
        town.owner.execute("delete from ohmesh.route")
        for node, parent, etx in routes:
            town.owner.execute(
                "insert into ohmesh.route (gateway_id, node, parent, etx_128ths, hops, reported_at)"
                " select %s, n, p, e, 1, %s from (values (%s::bigint, %s::bigint, %s)) v(n, p, e)",
                (town.gateway, AT + timedelta(minutes=at), node, parent, etx),
            )

    report(0, (1, 99, 128))
    report(1, (1, 99, 140))  # about the same
    report(2, (1, 99, 256))
    report(3, (1, 50, 256))
    rows = town.store.rows(
        "select parent, etx_128ths, from_ts, to_ts from ohmesh.route_history order by from_ts"
    )
    shown = [
        (
            r["parent"],
            r["etx_128ths"],
            (r["from_ts"] - AT) // timedelta(minutes=1),
            r["to_ts"] and (r["to_ts"] - AT) // timedelta(minutes=1),
        )
        for r in rows
    ]
    assert shown == [(99, 128, 0, 2), (99, 256, 2, 3), (50, 256, 3, None)]
