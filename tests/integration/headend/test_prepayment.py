"""The wallet against a real database, broker and a meter that obeys: cut off and back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.prepayment import contract
from headend.prepayment.engine import apply_events, visit
from headend.service.accounts import add_tariff, open_account, top_up
from headend.store import db
from ohmesh.model.command import CommandKind, RelayState
from ohmesh.model.errors import Conflict, PrepaymentError
from ohmesh.wire.uplink import encode_batch

PRICE_MU = 20_000  # 0.2 a kWh


TERMS = {"pack": "unrestricted-demo", "notice_minutes": None, "stale_after_s": 345_600}


def now():
    """A day behind the first reading of these tests."""
    return datetime(2026, 1, 2, 6, tzinfo=UTC)


def prepaid(store, *, amount_mu):
    store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=PRICE_MU))
    store.ask(open_account(1, "anna", meter="M1", tariff="flat", now=now(), terms=TERMS))
    if amount_mu:
        store.ask(top_up(1, "anna", amount_mu=amount_mu, idempotency_key="first", now=now()))


def test_credit_runs_out_supply_is_cut_and_a_top_up_restores_it(store, shared_broker, kit, until):
    store.gateway("gwp")
    store.meter()
    prepaid(store, amount_mu=3 * PRICE_MU)
    url = shared_broker.url
    with (
        kit.running_ingest(store, url),
        kit.running_worker(store, url, now),
        kit.GatewaySide(url, "gwp") as gateway,
    ):
        meter = kit.Meter(kit.KEY)
        gateway.send(0, [kit.telegram(0)])
        gateway.wait_ack(1)
        until(lambda: store.value("select base_at is not null from ohmesh.rating_state"))
        gateway.send(1, [kit.telegram(n) for n in range(1, 4)])  # 3 kWh, 3 kWh paid
        gateway.wait_ack(4)
        answer = meter.obey(gateway.downs.get(timeout=60))
        assert meter.relay is RelayState.DISCONNECTED
        supply = store.rows("select desired, reason from ohmesh.supply")[0]
        assert supply == {"desired": 0, "reason": "credit_exhausted"}
        assert store.value("select relay from ohmesh.meter_status") is None, "not read back yet"
        gateway.send(4, [answer])
        gateway.wait_ack(5)
        until(lambda: store.value("select state from ohmesh.command") == "done")
        assert store.value("select relay from ohmesh.meter_status") == 0
        done = store.ask(top_up(1, "anna", amount_mu=1, idempotency_key="second", now=now()))
        assert done.wallet_mu == 1
        answer = meter.obey(gateway.downs.get(timeout=60))
        assert meter.relay is RelayState.CONNECTED
        gateway.send(5, [answer])
        until(lambda: store.value("select relay from ohmesh.meter_status") == 1)
    assert meter.executed == [CommandKind.RELAY_OFF, CommandKind.RELAY_ON]
    states = store.rows("select kind, state, requested_by from ohmesh.command order by sequence")
    assert [(s["kind"], s["state"]) for s in states] == [(1, "done"), (2, "done")]
    assert store.value("select sum(credits_mu - debits_mu) from ohmesh.account_balance") == 0


def test_a_top_up_is_booked_once_and_its_key_has_one_content(store):
    store.gateway()
    store.meter()
    prepaid(store, amount_mu=0)
    first = store.ask(top_up(1, "anna", amount_mu=500, idempotency_key="k", now=now()))
    again = store.ask(top_up(1, "anna", amount_mu=500, idempotency_key="k", now=now()))
    assert (first.id, first.wallet_mu) == (again.id, again.wallet_mu)
    assert (first.replayed, again.replayed) == (False, True)
    with pytest.raises(Conflict):
        store.ask(top_up(1, "anna", amount_mu=501, idempotency_key="k", now=now()))
    for amount in (0, -5, 2**53 + 1):
        with pytest.raises(PrepaymentError):
            store.ask(top_up(1, "anna", amount_mu=amount, idempotency_key="x", now=now()))
    assert store.value("select count(*) from ohmesh.transfer") == 1


def test_parallel_top_ups_of_one_key_book_once(store):
    store.gateway()
    store.meter()
    prepaid(store, amount_mu=0)
    results = []

    def pay():
        results.append(store.ask(top_up(1, "anna", amount_mu=7, idempotency_key="k", now=now())))

    threads = [threading.Thread(target=pay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({r.id for r in results}) == 1
    assert sum(not r.replayed for r in results) == 1
    assert store.value("select credits_mu from ohmesh.account_balance where book='wallet'") == 7


def test_a_meter_without_a_key_gets_no_prepaid_account(store):
    store.meter("P1", key=None)
    store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=PRICE_MU))
    with pytest.raises(PrepaymentError, match="no key"):
        store.ask(open_account(1, "bob", meter="P1", tariff="flat", now=now()))


def test_only_energy_whose_interval_began_in_the_dark_is_usage_while_off(store, kit):
    store.gateway()
    store.meter()
    prepaid(store, amount_mu=100 * PRICE_MU)
    writer, connection = Writer(store.keystore), store.connect("ingest")
    account = store.value("select id from ohmesh.account")

    def alarms_after(number):
        payload = encode_batch("gw1", 1, number, [kit.telegram(number)])
        work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", payload)], 10)
        writer.store(connection, work, now_ms=0)
        store.work(visit(account, kit.START + kit.STEP * (number + 1)))
        return store.value("select count(*) from ohmesh.event where kind = 'alarm.usage_while_off'")

    assert [alarms_after(0), alarms_after(1)] == [0, 0]
    dark_at = kit.START + kit.STEP * 2 + timedelta(minutes=1)
    read = contract.RelayRead(RelayState.DISCONNECTED)
    store.work(apply_events(account, [read, read], dark_at))  # an unasked one is read twice
    assert alarms_after(2) == 0, "it began before the relay was read open"
    assert alarms_after(3) == 1


def test_workers_that_race_charge_every_kwh_once(store, kit):
    """Four workers rate one account while its readings arrive one by one."""
    store.gateway()
    store.meter()
    prepaid(store, amount_mu=0)
    writer, connection = Writer(store.keystore), store.connect("ingest")

    def arrive(number):
        payload = encode_batch("gw1", 1, number, [kit.telegram(number)])
        work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", payload)], 10)
        writer.store(connection, work, now_ms=0)

    arrive(0)
    account = store.value("select id from ohmesh.account")
    store.work(visit(account, now()))
    over, errors = threading.Event(), []

    def race():
        mine = store.connect("worker")
        try:
            while not over.is_set():
                with mine.transaction():
                    db.run(mine, visit(account, now()))
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 120):
        arrive(number)
    over.set()
    for thread in threads:
        thread.join()
    store.work(visit(account, now()))
    assert errors == []
    charged = store.value(
        "select sum(case when debit = 'wallet' then amount_mu else -amount_mu end)"
        " from ohmesh.transfer"
    )
    assert charged == 119 * PRICE_MU
    wallet = "select debits_mu - credits_mu from ohmesh.account_balance where book = 'wallet'"
    assert store.value(wallet) == 119 * PRICE_MU
