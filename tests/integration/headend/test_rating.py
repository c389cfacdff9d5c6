"""What the worker charges: which readings count, from when on, and what it tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.prepayment import rerate
from headend.prepayment.engine import visit
from headend.prepayment.reconciliation import reconcile
from headend.service.accounts import add_tariff, add_version, open_account, top_up
from headend.service.corrections import BroughtOver, bring_over
from ohmesh.model.errors import Conflict, PrepaymentError
from ohmesh.wire.uplink import encode_batch

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PRICE_MU = 12_345


class Home:
    """A prepaid meter whose registers the test sets."""

    def __init__(self, store, kit):
        self.store, self.kit = store, kit
        self.connection, self.writer = store.connect("ingest"), Writer(store.keystore)
        self.seq = 0
        store.gateway()
        store.meter()
        store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=PRICE_MU))

    def open(self, **options):
        options = {"tariff": "flat", **options}
        self.account = self.store.ask(open_account(1, "home", meter="M1", now=NOW, **options))

    def reads(self, *numbers, wh=None, status=0):
        """Readings of intervals; register `1000 * number` Wh unless given."""
        payloads = [
            self.kit.seal_report(self.kit.report(n, wh=wh), counter=self.seq + i)
            for i, n in enumerate(numbers)
        ]
        telegrams = [self.kit.telegram_of(payload) for payload in payloads]
        message = encode_batch("gw1", 1, self.seq, telegrams)
        self.seq += len(numbers)
        work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", message)], 100)
        assert self.writer.store(self.connection, work, now_ms=0).held == 0
        if status:
            sql = "update bulk.reading set status = %(s)s where ts = %(t)s returning 1"
            end = self.kit.START + (numbers[-1] + 1) * self.kit.STEP
            self.store.rows(sql, "owner", s=status, t=end)
            self.touched(end)

    def touched(self, at):
        """What ingest says when it has written readings."""
        sql = (
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " values (1, %(t)s, %(t)s) returning 1"
        )
        self.store.rows(sql, "ingest", t=at)

    def rate(self, now=NOW):
        self.store.work(visit(self.account, now))
        return -self.store.value(
            "select coalesce(sum(credits_mu - debits_mu), 0) from ohmesh.account_balance"
            " where book = 'wallet'"
        )

    def events(self, kind):
        return self.store.rows("select detail from ohmesh.event where kind = %(k)s", k=kind)


@pytest.fixture
def home(store, kit):
    return Home(store, kit)


def test_what_was_used_before_the_opening_is_not_charged(home):
    home.reads(1, 5)
    home.open()
    assert home.rate() == 0
    home.reads(6)
    assert home.rate() == PRICE_MU
    home.reads(3)
    assert home.rate() == PRICE_MU, "an interval before the opening comes late: nothing"


def test_what_was_counted_is_what_the_register_advanced_to_the_last_wh(home):
    """A13: through gaps, corrections, a late reading and a day's turn the difference is 0."""
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, wh=500)
    for numbers, wh in (((10,), 7_654), ((4, 5), 2_001), ((97,), 90_001), ((96,), 88_888)):
        home.reads(*numbers, wh=wh)
        home.rate()
        assert home.store.work(reconcile(1, NOW.date(), NOW))
        assert home.store.value("select findings::text from ohmesh.reconciliation") == "[]"
    home.store.as_admin_all("update ohmesh.charge_month set counter_wh = counter_wh - 3")
    assert home.store.work(reconcile(1, NOW.date(), NOW)), "one contract's matter stops nobody"
    (found,) = json.loads(home.store.value("select findings::text from ohmesh.reconciliation"))
    assert (found["check"], found["difference_wh"]) == ("metered", 3)
    assert home.store.value("select count(*) from ohmesh.ledger_stop") == 0


def test_an_account_that_opens_before_any_reading_begins_with_the_first(home):
    home.open()
    assert home.rate() == 0
    home.reads(4)
    assert home.rate() == 0
    home.reads(6)
    assert home.rate() == 2 * PRICE_MU


def test_a_start_can_be_given(home, kit):
    home.reads(1, 2, 3, 4)
    home.open(rated_from=kit.START + 3 * kit.STEP)  # the END of interval 2
    assert home.rate() == 2 * PRICE_MU


def test_a_gap_is_charged_by_the_reading_behind_it_and_never_again(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0)
    home.rate()
    home.reads(10)
    assert home.rate() == 10 * PRICE_MU
    home.reads(4, 5, 6)
    assert home.rate() == 10 * PRICE_MU


@pytest.mark.parametrize("status", [1, 8, 32])
def test_a_doubtful_reading_is_not_charged(home, status):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0)
    home.rate()
    home.reads(5, status=status)
    assert home.rate() == 0
    home.reads(6)
    assert home.rate() == 6 * PRICE_MU


def test_a_reading_from_the_future_waits_for_its_time(home, kit):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0)
    end = kit.START + 9 * kit.STEP
    home.rate(now=end - timedelta(hours=1))
    home.reads(8)
    assert home.rate(now=end - timedelta(hours=1)) == 0
    home.reads(9)
    assert home.rate(now=end) == 8 * PRICE_MU


def test_a_register_that_goes_back_is_told_and_charges_nothing(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 5)
    assert home.rate() == 5 * PRICE_MU
    home.reads(6, wh=100)
    assert home.rate() == 5 * PRICE_MU
    assert home.rate() == 5 * PRICE_MU
    told = home.events("register_decreased")
    assert [event["detail"]["register_wh"] for event in told] == [100]
    home.reads(7)
    assert home.rate() == 7 * PRICE_MU


def test_a_statement_says_what_was_charged(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 1, 2)
    home.rate()
    row = home.store.rows("select code, debit, credit, amount_mu, ref from ohmesh.transfer")[0]
    assert row == {
        "code": 20,
        "debit": "wallet",
        "credit": "rev_energy",
        "amount_mu": 2 * PRICE_MU,
        "ref": {"day": "2026-01-01", "component": "energy", "rating_version": 0},
    }


TOU = {
    "id": "tou",
    "version": 1,
    "valid_from": "2025-12-01T00:00:00Z",
    "tz": "UTC",
    "block_upto_wh": [None],
    "price_mu_per_kwh": {"day": [30_000], "night": [10_000]},
    "tou": [{"name": "night", "from": "00:00", "to": "06:00"}],
    "tou_default": "day",
    "fixed_mu_per_day": 5_000,
    "tax": [{"code": "vat", "bp": 1_000}],
    "subsidy": {"code": "state", "bp": 2_000},
}


def books(home):
    rows = home.store.rows("select book, credits_mu - debits_mu as mu from ohmesh.account_balance")
    return {row["book"]: row["mu"] for row in rows}


def test_a_tariff_is_data_and_a_late_reading_moves_money_between_its_periods(home):
    """Wh of a gap count where it begins, until what was missing comes."""
    home.store.ask(add_version(1, TOU, currency="EUR"))
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC), tariff="tou")
    home.reads(0, 40)  # ENDs 00:15 and 10:15: 40 kWh, all of it from the night on
    home.rate()
    assert books(home) == {
        "wallet": -(400_000 + 5_000 + 40_500) + 80_000,
        "rev_energy": 400_000,
        "rev_fixed": 5_000,
        "tax:vat": 40_500,
        "subsidy:state": -80_000,
    }
    home.reads(23)  # END 06:00
    home.rate()
    assert books(home)["rev_energy"] == 23 * 10_000 + 17 * 30_000
    assert books(home)["subsidy:state"] == -(23 * 10_000 + 17 * 30_000) // 5
    assert sum(books(home).values()) == 0
    before = home.store.value("select count(*) from ohmesh.transfer")
    home.touched(datetime(2026, 1, 1, tzinfo=UTC))
    home.rate()
    assert home.store.value("select count(*) from ohmesh.transfer") == before, "equal: nothing"


def test_a_correction_of_an_earlier_day_is_a_rerate_with_the_next_version(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 50, 100, 150)  # 1 and 2 January
    later = NOW + timedelta(days=2)
    home.rate(later)
    home.reads(95)  # END on 2 January, 00:00: 5 kWh move to that day
    home.rate(later)
    lines = home.store.rows(
        "select code, debit, ref->>'day' as day, ref->>'rating_version' as version, amount_mu"
        " from ohmesh.transfer where txn = (select max(txn) from ohmesh.transfer) order by 3"
    )
    assert [(r["code"], r["debit"], r["day"], r["version"]) for r in lines] == [
        (30, "rev_energy", "2026-01-01", "1"),
        (30, "wallet", "2026-01-02", "1"),
    ]
    assert len({r["amount_mu"] for r in lines}) == 1
    assert -books(home)["wallet"] == 150 * PRICE_MU


def test_a_reading_older_than_the_horizon_waits_for_a_person(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 50)
    spring = datetime(2026, 4, 15, tzinfo=UTC)
    home.rate(spring)
    assert books(home) == {}
    assert home.events("reading_horizon")


def test_an_estimate_only_pends_and_the_actual_reading_takes_its_place(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 1)
    home.rate()
    home.reads(5, status=8)
    assert home.rate() == PRICE_MU
    sql = "select debits_pending_mu from ohmesh.account_balance where book = 'wallet'"
    assert home.store.value(sql) == 4 * PRICE_MU
    home.reads(4)
    home.rate()
    assert home.rate() == 4 * PRICE_MU
    assert home.store.value(sql) == PRICE_MU
    steps = home.store.rows("select step from ohmesh.transfer order by posted_at, id")
    assert sorted(row["step"] for row in steps) == [0, 0, 1, 1, 3]


def test_an_old_debt_is_taken_by_the_day_until_it_is_paid(home):
    """Once for each day that has ended; at the threshold it waits."""
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC), terms={"time_debt": {"rate_mu": 100}})
    debt = BroughtOver(balance_mu=PRICE_MU + 170, debt_acc_mu=250)
    home.store.ask(bring_over(1, "home", debt, idempotency_key="m", now=NOW))
    home.reads(0, 1)
    assert home.rate() == -170
    owed = "select debits_mu - credits_mu from ohmesh.account_balance where book = 'debt_acc'"
    assert home.store.value(owed) == 250, "the day is not over"
    assert home.rate(NOW + timedelta(days=4)) == 30
    assert home.store.value(owed) == 50, "two days; then there was nothing left to take it from"
    home.store.ask(top_up(1, "home", amount_mu=1000, idempotency_key="t", now=NOW))
    assert home.store.value(owed) == 0, "an accumulated debt is paid before the wallet"
    before = home.rate(NOW + timedelta(days=8))
    assert home.rate(NOW + timedelta(days=12)) == before == 30 - 950


def test_what_crosses_the_end_of_a_month_is_charged(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    last = 31 * 96 - 2  # END 23:45 on the 31st
    home.reads(0, last)
    home.rate(datetime(2026, 2, 1, tzinfo=UTC))
    home.reads(last + 3)  # 45 minutes later, in February
    assert home.rate(datetime(2026, 2, 1, 1, tzinfo=UTC)) == (last + 3) * PRICE_MU


def test_a_roll_over_is_charged_where_the_modulus_is_known(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC), register_modulus_wh=100_000)
    home.reads(0, wh=99_000)
    home.reads(1, wh=2_000)
    assert home.rate() == 3 * PRICE_MU


def test_opening_twice_is_one_account_and_another_is_a_conflict(home, store):
    home.open()
    first = home.account
    home.open()
    assert home.account == first
    store.meter("M2")
    for name, meter in (("home", "M2"), ("other", "M1")):
        with pytest.raises(Conflict):
            store.ask(open_account(1, name, meter=meter, tariff="flat", now=NOW))
    with pytest.raises(PrepaymentError):
        store.ask(open_account(1, "x", meter="M2", tariff="none", now=NOW))
    with pytest.raises(Conflict):
        store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1))


def ask(home, key, *, dry_run=False):
    wish = {"dry_run": dry_run, "reason": "r", "idempotency_key": key, "now": NOW}
    return home.store.ask(rerate.ask(1, "home", NOW.date(), **wish))["id"]


def carried_out(home, asked, now=NOW):
    assert home.store.work(rerate.waiting()) == [asked]
    home.store.work(rerate.carry_out(asked, now))
    assert home.store.work(rerate.waiting()) == []
    row = home.store.ask(rerate.find(1, asked))
    return row["state"], row["difference_mu"], row["days"]


def corrected(home, price, minute=0):
    content = {
        "id": "flat",
        "valid_from": f"2026-01-01T00:{minute:02}:00Z",
        "tz": "UTC",
        "block_upto_wh": [None],
        "price_mu_per_kwh": {"all": [price]},
    }
    home.store.ask(add_version(1, content, currency="EUR"))


def test_a_corrected_tariff_is_booked_once_as_the_difference(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 10)
    assert home.rate() == 10 * PRICE_MU
    corrected(home, 2 * PRICE_MU)
    assert home.rate() == 10 * PRICE_MU, "nothing has happened to the account"
    dry = ask(home, "dry", dry_run=True)
    assert carried_out(home, dry) == ("weighed", 10 * PRICE_MU, 1)
    assert home.rate() == 10 * PRICE_MU
    asked = ask(home, "book")
    assert carried_out(home, asked) == ("booked", 10 * PRICE_MU, 1)
    assert ask(home, "book") == asked
    assert home.store.work(rerate.waiting()) == []
    assert carried_out(home, ask(home, "again")) == ("booked", 0, 0)
    assert home.rate() == 20 * PRICE_MU
    with pytest.raises(Conflict):
        ask(home, "book", dry_run=True)
    with pytest.raises(PrepaymentError):
        home.store.ask(rerate.approve(1, dry))


def test_much_money_waits_for_two_people_and_is_weighed_again_when_it_changed(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 10)
    home.rate()
    dear = rerate.ALONE_MU_MAX // 10 + PRICE_MU + 1
    corrected(home, dear)
    asked = ask(home, "much")
    first = 10 * (dear - PRICE_MU)
    assert carried_out(home, asked) == ("weighed", first, 1)
    home.store.ask(rerate.approve(1, asked))
    corrected(home, dear + 1, minute=1)
    assert carried_out(home, asked) == ("weighed", first + 10, 1)
    assert home.rate() == 10 * PRICE_MU
    home.store.ask(rerate.approve(1, asked))
    assert carried_out(home, asked) == ("booked", first + 10, 1)
    home.store.ask(rerate.approve(1, asked))
    assert home.store.work(rerate.waiting()) == []
    assert home.rate() == 10 * (dear + 1)


def test_what_no_readings_are_left_of_is_not_given_back(home):
    home.open(rated_from=datetime(2026, 1, 1, tzinfo=UTC))
    home.reads(0, 10)
    home.rate()
    home.store.rows("delete from bulk.reading returning 1", "owner")
    with pytest.raises(PrepaymentError) as found:
        home.store.work(rerate.carry_out(ask(home, "gone"), NOW))
    assert found.value.code == "readings_gone"
    assert home.rate() == 10 * PRICE_MU
