"""The release gate: nothing takes supply away without it, whatever the head-end's roles do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from utility import ANNA, BERT, DEBT_MU, NOW, Utility

from headend.gate.judging import breaker_subject, release_subject
from headend.service.accounts import top_up
from headend.service.commands import NewCommand, create_command
from headend.store import db
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import WireError
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.release import open_release, public_key


@pytest.fixture
def utility(store, kit):
    return Utility(store, kit)


def test_an_empty_wallet_is_cut_with_a_release_that_fits_it_alone(utility):
    utility.homes(1)
    utility.exhaust()
    utility.round()
    assert utility.cuts() == {"M1"}
    down = decode_down(utility.sent[-1][1])
    for keys, meter in (([public_key(BERT)], "M1"), ([public_key(utility.kit.GATE_KEY)], "M2")):
        with pytest.raises(WireError):
            open_release(keys, meter, down.release)


def test_without_the_gate_nothing_takes_supply_away(utility):
    utility.homes(1)
    utility.exhaust()
    for _ in range(3):
        utility.worker.sweep_page(utility.work)
        utility.worker.step(utility.work)
        utility.now += timedelta(seconds=90)
    assert utility.cuts() == set()
    assert utility.store.value("select state from ohmesh.command") == "queued"


FORBIDDEN = [
    (
        "insert into ohmesh.release (command_id, tenant_id, meter_id, area, automatic, at,"
        " not_after, octets) select c.id, 1, c.meter_id, '', true, now(),"
        " now() + interval '1 hour', 'x' from ohmesh.command c"
    ),
    "update ohmesh.release set not_after = now() + interval '9 years'",
    "delete from ohmesh.release",
    "delete from ohmesh.release_hold",
    "update ohmesh.breaker set opened_at = null",
    "delete from ohmesh.breaker",
    "update ohmesh.account_balance set credits_mu = 0",
    "update ohmesh.transfer set amount_mu = 1",
    "delete from ohmesh.transfer",
    "truncate ohmesh.transfer",
    "alter table ohmesh.transfer disable trigger all",
    "set role ohmesh_gate",
    "update ohmesh.release_approval set subject = 'x'",
]


def test_no_other_role_can_write_what_the_gate_and_the_ledger_write(utility):
    utility.homes(1)
    utility.exhaust()
    utility.round()
    for role in ("api", "worker", "ingest"):
        for sql in FORBIDDEN:
            with utility.store.connect(role, autocommit=False) as connection:
                connection.execute("select set_config('ohmesh.tenant', '1', true)")
                with pytest.raises(Exception, match=r"permission denied|must be owner|append-only"):
                    connection.execute(sql)
                connection.rollback()


def test_not_even_the_owner_changes_a_transfer(utility):
    utility.homes(1)
    connection = utility.store.connect("owner")
    for sql in ("update ohmesh.transfer set amount_mu = 9", "delete from ohmesh.transfer"):
        with pytest.raises(Exception, match="append-only"):
            connection.execute(sql)


def test_with_all_the_rights_of_the_api_nothing_leaves_beyond_the_limits(utility):
    """It may queue orders at will, forge approvals and call itself prepayment."""
    utility.homes(60, area="T1")
    for n in range(1, 61):
        utility.order(n, f"M{n}")
        forged = NewCommand(
            f"M{n}", CommandKind.RELAY_OFF, NOW + timedelta(hours=2), f"f{n}", "prepayment"
        )
        utility.store.ask(create_command(1, forged, NOW))
    command = utility.store.value("select id from ohmesh.command order by created_at desc limit 1")
    for name in ("anna", "bert"):
        utility.approve(release_subject(command), bytes(31) + b"\1", name)
    utility.round()
    assert len(utility.cuts()) == 3, "5 % of an area in an hour"
    held = utility.store.value("select count(*) from ohmesh.release_hold")
    assert held > 0
    utility.gate = utility.new_gate()  # a restart forgets nothing
    utility.round(minutes=5)
    assert len(utility.cuts()) == 3


def test_more_than_twenty_orders_of_people_wait_for_two_of_them(utility):
    for area in range(8):
        utility.homes(3, area=f"T{area}")
    for n in range(1, 23):
        utility.order(n, f"M{n}")
    utility.round()
    assert len(utility.cuts()) == 20
    held = utility.store.rows(
        "select h.command_id, m.name from ohmesh.release_hold h"
        " join ohmesh.command c on c.id = h.command_id join ohmesh.meter m on m.id = c.meter_id"
    )
    assert len(held) == 2
    subject = release_subject(held[0]["command_id"])
    utility.approve(subject, ANNA, "anna")
    utility.approve(subject, ANNA, "bert")  # the same person twice
    utility.round(seconds=70)
    assert len(utility.cuts()) == 20
    utility.approve(subject, BERT, "bert")
    utility.round(seconds=70)
    assert len(utility.cuts()) == 21
    assert held[0]["name"] in utility.cuts()


def test_a_wrong_tariff_opens_the_breaker_and_two_people_close_it(utility):
    utility.homes(120)
    utility.exhaust()
    utility.store.as_admin_all("update ohmesh.service_point set area = ''")
    for _ in range(4):
        utility.round(seconds=30)
    cut = utility.cuts()
    assert len(cut) <= 50
    opened = utility.store.value("select opened_at from ohmesh.breaker where tenant_id = 1")
    assert opened is not None
    reasons = utility.store.rows("select distinct reason from ohmesh.supply where desired = 1")
    assert {r["reason"] for r in reasons} <= {"protected_breaker", "opened", "credit_restored"}
    subject = breaker_subject(1, opened)
    utility.approve(subject, ANNA, "anna")
    utility.round(seconds=30)
    assert utility.store.value("select opened_at is not null from ohmesh.breaker")
    utility.approve(subject, BERT, "bert")
    utility.round(seconds=30)
    assert utility.store.value("select opened_at is null from ohmesh.breaker")


def test_a_top_up_before_the_release_leaves_means_no_cut(utility):
    utility.homes(1)
    utility.exhaust()
    utility.worker.sweep_page(utility.work)
    utility.worker.step(utility.work)
    utility.gate.step(utility.judge)
    assert utility.store.value("select count(*) from ohmesh.release") == 1
    utility.store.ask(top_up(1, "A1", amount_mu=DEBT_MU, idempotency_key="p", now=utility.now))
    utility.worker.step(utility.work)
    assert utility.cuts() == set()
    assert utility.store.value("select state from ohmesh.supply") == "ACTIVE"


def test_supply_comes_back_softly(utility):
    """5 % of an area's meters in any ten seconds, all of them within ten minutes."""
    utility.homes(60, area="T1", prepaid=False)
    for n in range(1, 61):
        request = NewCommand(
            f"M{n}", CommandKind.RELAY_ON, NOW + timedelta(hours=2), f"on{n}", "operator"
        )
        utility.store.ask(create_command(1, request, NOW))
    sends = {}
    while len(sends) < 60:
        utility.sent.clear()
        utility.worker.step(utility.work)
        for _, payload in utility.sent:
            sends.setdefault(decode_down(payload).meter, utility.now)
        answered = "update ohmesh.command set state = 'done', resolved_at = now()"
        utility.store.as_admin_all(answered + " where state = 'sent'")
        utility.now += timedelta(seconds=2)
        assert utility.now < NOW + timedelta(seconds=600), len(sends)
    times = sorted(sends.values())
    most = max(sum(t <= other < t + timedelta(seconds=10) for other in times) for t in times)
    assert most <= 3


def test_a_bad_balance_stops_charges_and_cuts(utility):
    utility.homes(1)
    utility.exhaust()
    utility.store.as_admin_all("update ohmesh.account_balance set credits_mu = credits_mu + 1")
    from headend.prepayment.reconciliation import reconcile  # noqa: PLC0415

    assert not utility.store.work(reconcile(1, NOW.date(), NOW))
    utility.round()
    assert utility.cuts() == set()
    late = utility.store.ask(top_up(1, "A1", amount_mu=7, idempotency_key="x", now=NOW))
    assert late.state == "received", "kept, and booked when the ledger goes on"


def test_the_ledger_adds_up_and_the_day_is_noted(utility):
    utility.homes(2)
    utility.exhaust()
    from headend.prepayment.reconciliation import reconcile_due  # noqa: PLC0415

    utility.store.as_admin_all(
        "insert into ohmesh.charge_day select id, '2026-06-01', 'energy', 0 from ohmesh.account"
    )
    assert utility.store.work(reconcile_due(NOW)) == []
    assert utility.store.value("select ok from ohmesh.reconciliation")
    assert utility.store.work(reconcile_due(NOW)) == []
    with db.connect(utility.store.urls["worker"], name="test") as connection:
        assert connection.execute("select count(*) from ohmesh.reconciliation").fetchone()
