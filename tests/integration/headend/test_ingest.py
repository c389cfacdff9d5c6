"""Ingest against a real database and a real broker: exact counts decide."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from headend.ingest.statements import SQL, numbers
from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.service.fleet import change_meter
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.report import Route, TopologyReport, encode_report
from ohmesh.wire.sealed import SealedKind, seal
from ohmesh.wire.uplink import encode_batch


def work_of(*batches, gateway="gw1", epoch=1):
    """Batches (first_seq, telegrams) as ingest takes them from the broker."""
    topic = topics.gateway_topic(gateway, "up")
    messages = [
        Delivery(topic, encode_batch(gateway, epoch, first, telegrams))
        for first, telegrams in batches
    ]
    return sort(messages, 10**6)[0]


@pytest.fixture
def save(store):
    """Store work as ingest does, without a broker."""
    connection = store.connect("ingest")
    writer = Writer(store.keystore)
    return lambda work: writer.store(connection, work, now_ms=1_767_225_600_000)


@pytest.fixture
def requeue(store):
    connection = store.connect("ingest")
    writer = Writer(store.keystore)
    return lambda: writer.requeue(connection, 100)


def test_a_batch_becomes_rows_and_an_acknowledgement(store, shared_broker, kit):
    store.gateway("gwa")
    store.meter()
    with (
        kit.running_ingest(store, shared_broker.url),
        kit.GatewaySide(shared_broker.url, "gwa") as gateway,
    ):
        gateway.send(0, [kit.telegram(n) for n in range(10)])
        gateway.wait_ack(10)
    assert store.counts() == {"readings": 10, "telegrams": 10, "held": 0}


def test_readings_keep_value_unit_and_time(store, save, kit):
    store.gateway()
    store.meter()
    save(work_of((0, [kit.telegram(7)])))
    row = store.rows(
        "select r.ts, r.value * power(10::numeric, c.scaler) as wh, c.unit, c.obis, r.status"
        " from bulk.reading r join ohmesh.channel c on c.id = r.channel"
        " where c.name = 'el.energy.import'"
    )[0]
    assert (row["ts"], int(row["wh"]), row["unit"]) == (kit.START + 8 * kit.STEP, 7000, "Wh")
    assert (row["obis"], row["status"]) == ("1-0:1.8.0", 0)


def test_a_batch_again_changes_nothing_and_is_acknowledged_again(store, save, kit):
    store.gateway()
    store.meter()
    batch = (0, [kit.telegram(n) for n in range(5)])
    first, again = save(work_of(batch)), save(work_of(batch, batch))
    assert first.acks == again.acks == [("gw1", 1, 5, 0)]
    assert (first.telegrams, again.telegrams, again.resent) == (5, 0, 10)
    assert store.counts() == {"readings": 5, "telegrams": 5, "held": 0}


def test_only_the_contiguous_range_from_zero_is_acknowledged(store, save, kit):
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(30)]
    assert save(work_of((20, telegrams[20:]))).acks == [("gw1", 1, 0, 0)]
    assert save(work_of((0, telegrams[:10]))).acks == [("gw1", 1, 10, 0)]
    assert save(work_of((5, telegrams[5:25]))).acks == [("gw1", 1, 30, 0)]
    assert store.counts() == {"readings": 30, "telegrams": 30, "held": 0}


def test_a_poison_telegram_harms_only_itself(store, save, kit):
    store.gateway()
    store.meter()
    store.meter("P1", key=None)
    poison = Telegram(TelegramKind.METER, "p1", "P1", "nl_dsmr", 0, b"/XYZ no telegram at all")
    bad_seal = kit.telegram(3, key=bytes(16))
    telegrams = [kit.telegram(0), poison, kit.telegram(1), bad_seal, kit.telegram(2)]
    stored = save(work_of((0, telegrams)))
    assert (stored.acks, stored.held) == ([("gw1", 1, 5, 0)], 2)
    assert store.counts() == {"readings": 3, "telegrams": 5, "held": 2}
    reasons = store.rows("select reason from bulk.telegram_quarantine order by seq")
    assert [r["reason"].split(":")[0] for r in reasons] == ["decode", "seal"]


def test_two_gateways_that_deliver_one_interval_store_it_once(store, save, kit):
    """Sealed: the counter tells. Plain: the key does, by way of the staging table."""
    store.gateway("gw1")
    store.gateway("gw2")
    store.meter()
    store.meter("P1", key=None)
    sealed = [kit.telegram(n) for n in range(4)]
    plain = [kit.telegram(n, meter="P1", key=None) for n in range(4)]
    save(work_of((0, sealed + plain), gateway="gw1"))
    again = save(work_of((0, sealed + plain), gateway="gw2"))
    assert (again.repeated, again.fallbacks, again.readings, again.taken) == (4, 1, 0, 4)
    assert store.counts() == {"readings": 8, "telegrams": 16, "held": 0}


def test_a_replayed_seal_without_a_stamp_of_its_own_stores_nothing_new(store, save, kit):
    """The interval's END would be the receive time, so only the counter can tell."""
    store.gateway("gw1")
    store.gateway("gw2")
    store.meter()
    body = seal(kit.KEY, "M1", SealedKind.REPORT, 5, kit.report(1))
    early = Telegram(TelegramKind.METER, "mesh", "M1", "", 1_767_225_600_000, body)
    late = Telegram(TelegramKind.METER, "mesh", "M1", "", 1_767_999_999_000, body)
    save(work_of((0, [early]), gateway="gw1"))
    assert save(work_of((0, [late]), gateway="gw2")).repeated == 1
    assert store.counts()["readings"] == 1


def test_an_unknown_gateway_loses_nothing_when_it_is_registered_later(store, shared_broker, kit):
    store.meter()
    url = shared_broker.url
    telegrams = [kit.telegram(n) for n in range(40)]
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwu") as gateway:
        gateway.try_send(0, telegrams)
        gateway.publish("ohmesh/v1/gw/gwu/state", b'{"state": "online"}')
        assert gateway.acks.empty()
        store.gateway("gwu")
        gateway.drain(telegrams)
    assert store.counts() == {"readings": 40, "telegrams": 40, "held": 0}


def test_an_unknown_meter_is_decoded_when_it_is_registered(store, shared_broker, kit, until):
    store.gateway("gwm")
    url = shared_broker.url
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwm") as gateway:
        gateway.send(0, [kit.telegram(n) for n in range(8)])
        gateway.wait_ack(8)
        assert store.counts() == {"readings": 0, "telegrams": 8, "held": 8}
        store.meter()
        until(lambda: store.counts()["readings"] == 8)
    assert store.counts() == {"readings": 8, "telegrams": 8, "held": 0}


def test_a_wrong_key_is_mended_and_what_it_held_back_is_decoded(store, save, requeue, kit):
    store.gateway()
    store.meter("M1", key=bytes(16))
    assert save(work_of((0, [kit.telegram(n) for n in range(6)]))).held == 6
    assert requeue() == (0, 0), "nothing has changed"
    assert store.ask(change_meter(1, "M1", key_sealed=store.keystore.seal("M1", kit.KEY)))
    assert requeue() == (6, 6)
    assert requeue() == (0, 0)
    assert store.counts() == {"readings": 6, "telegrams": 6, "held": 0}


def test_a_change_that_does_not_help_leaves_telegrams_where_they_are(store, save, requeue, kit):
    store.gateway()
    store.meter("M1", key=bytes(16))
    save(work_of((0, [kit.telegram(0)])))
    store.ask(change_meter(1, "M1", key_sealed=store.keystore.seal("M1", bytes(15) + b"\1")))
    assert requeue() == (1, 0)
    assert requeue() == (0, 0), "not tried again until something changes"
    assert store.counts()["held"] == 1


def test_a_meter_of_another_tenant_is_unknown_to_this_gateway(store, save, kit):
    other = store.value_as_owner("insert into ohmesh.tenant (name) values ('other') returning id")
    store.gateway("gw1")
    store.meter("P1", key=None, tenant=other)
    stored = save(work_of((0, [kit.telegram(0, meter="P1", key=None)])))
    assert stored.held == 1
    assert store.counts()["readings"] == 0


def test_garbage_on_any_topic_is_evidence_and_harms_nobody(store, shared_broker, kit):
    store.gateway("gwg")
    store.meter()
    url = shared_broker.url
    good = [kit.telegram(n) for n in range(10)]
    foreign = encode_batch("gw-other", 1, 0, good)
    bomb = bytes((1, 1)) + b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f" + bytes(20)
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwg") as gateway:
        up = "ohmesh/v1/gw/gwg/up"
        for payload in (b"", b"\x00", b"\x09\x00abc", bytes(300), foreign, bomb, b"\x01\x00\xc1"):
            gateway.publish(up, payload)
        gateway.publish("ohmesh/v1/gw/gw%41/up", b"x")
        gateway.publish("ohmesh/v1/gw/gwg/state", b"[" * 100_000)
        gateway.publish("ohmesh/v1/meter/nobody/up", b"\xff\xfe")
        gateway.send(0, good)
        gateway.wait_ack(10)
    assert store.counts() == {"readings": 10, "telegrams": 11, "held": 10}
    reasons = store.rows("select distinct reason from bulk.telegram_quarantine order by 1")
    assert {r["reason"] for r in reasons} == {
        "batch:malformed",
        "batch:oversize",
        "batch:truncated",
        "batch:unknownversion",
        "unknown_meter",
    }


def test_two_workers_on_one_gateway_store_everything_once(store, kit):
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(400)]
    batches = [(first, telegrams[first : first + 20]) for first in range(0, 400, 10)]
    errors = []

    def race(mine):
        connection = store.connect("ingest")
        writer = Writer(store.keystore)
        try:
            for batch in mine:
                writer.store(connection, work_of(batch), now_ms=0)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=race, args=(order,)) for order in (batches, batches[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.counts() == {"readings": 400, "telegrams": 400, "held": 0}
    assert store.value("select got::text from ohmesh.gateway_progress") == "{[0,400)}"


def test_routes_are_those_of_the_newest_report(store, save):
    store.gateway()

    def topology(at_ms, *routes):
        body = encode_report(TopologyReport(1, [Route(*r) for r in routes]))
        return Telegram(TelegramKind.TOPOLOGY, "gateway", "", "", at_ms, body)

    save(work_of((0, [topology(2000, (100, 1, 128, 1), (101, 100, 130, 2))])))
    save(work_of((1, [topology(1000, (102, 1, 128, 1))])))
    assert [r["node"] for r in store.rows("select node from ohmesh.route order by 1")] == [100, 101]
    save(work_of((2, [topology(3000, (101, 1, 128, 1))])))
    assert [r["node"] for r in store.rows("select node from ohmesh.route order by 1")] == [101]


def test_a_telegram_that_the_database_refuses_is_held_and_not_lost(store, kit):
    """`hold` is the last resort of the pump: nothing is decoded, everything is kept."""
    store.gateway()
    store.meter()
    connection = store.connect("ingest")
    work = work_of((0, [kit.telegram(0)]))
    stored = Writer(store.keystore).store(connection, work, now_ms=0, hold="out of range")
    assert stored.acks == [("gw1", 1, 1, 0)]
    assert store.counts() == {"readings": 0, "telegrams": 1, "held": 1}


def test_states_of_gateways_are_kept(store, save):
    store.gateway("gw1")
    for state in (b'{"state": "online"}', b'{"state": "offline", "more": 1}'):
        save(sort([Delivery("ohmesh/v1/gw/gw1/state", state)], 10)[0])
    assert store.value("select state from ohmesh.gateway_status") == "offline"


def test_a_gateway_that_floods_is_told_once_and_loses_nothing(store, kit):
    gateway = store.gateway()
    store.meter()
    connection = store.connect("ingest")
    writer = Writer(store.keystore, flood_per_minute=60)
    dense = [replace(kit.telegram(n), received_at_ms=1_767_225_600_000) for n in range(200)]
    for first in range(0, 200, 50):
        work = work_of((first, dense[first : first + 50]))
        writer.store(connection, work, now_ms=1_767_225_600_000)
    assert store.counts() == {"readings": 200, "telegrams": 200, "held": 0}
    assert store.rows("select gateway_id, kind, detail from ohmesh.event") == [
        {"gateway_id": gateway, "kind": "gateway_flood", "detail": {"telegrams_in_a_minute": 100}}
    ]


def test_without_the_archive_readings_and_quarantine_are_kept(store, kit):
    store.gateway()
    store.meter()
    connection = store.connect("ingest")
    writer = Writer(store.keystore, archive_all=False)
    batch = [kit.telegram(0), kit.telegram(1, payload=b"poison"), kit.telegram(2)]
    stored = writer.store(connection, work_of((0, batch)), now_ms=1_767_225_600_000)
    assert stored.acks == [("gw1", 1, 3, 0)]
    assert store.counts() == {"readings": 2, "telegrams": 0, "held": 1}


def looked_up(plan):
    """The nodes of a plan that read meters or their status."""
    if (
        plan.get("Relation Name") in {"meter", "meter_status"}
        and plan["Node Type"] != "ModifyTable"
    ):
        yield plan
    for part in plan.get("Plans", ()):
        yield from looked_up(part)


def test_a_transaction_looks_at_its_own_meters_however_large_the_fleet(store):
    store.as_admin_all(
        "set session_replication_role = replica;"
        "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
        " select 1, 'F' || n, 'F' || n, 'no_han', 900 from generate_series(1, 30000) n;"
        "insert into ohmesh.meter_status (meter_id) select id from ohmesh.meter;"
        "analyze ohmesh.meter; analyze ohmesh.meter_status"
    )
    some = range(7, 30_000, 60)
    ids, ones = numbers(some), numbers(1 for _ in some)
    ingest = store.connect("ingest")
    for statement in (
        SQL("changed_meters", meters=ids, versions=ones),
        SQL("meters", addresses=[f"F{n}" for n in some]),
        SQL("lock_meters", meters=ids),
        SQL("touch_meters", meters=ids, seen_ms=ones, gateways=ones, sealed="{}", counters="{}"),
    ):
        (row,) = ingest.execute("explain (format json) " + statement.sql, statement.params)
        nodes = list(looked_up(row["QUERY PLAN"][0]["Plan"]))
        assert nodes
        assert all("Index Cond" in node for node in nodes), row


def test_a_known_meter_that_changed_is_read_anew(store, save, kit):
    store.gateway()
    store.meter()
    assert save(work_of((0, [kit.telegram(0)]))).readings == 1
    store.as_admin_all("update ohmesh.meter set address = 'elsewhere'")
    assert save(work_of((1, [kit.telegram(1)]))).held == 1
    store.as_admin_all(f"update ohmesh.meter set address = '{kit.telegram(0).meter}'")
    assert save(work_of((2, [kit.telegram(2)]))).readings == 1
    store.as_admin_all("delete from ohmesh.meter")
    assert save(work_of((3, [kit.telegram(3)]))).held == 1
