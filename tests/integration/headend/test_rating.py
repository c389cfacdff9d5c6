"""What the worker charges: which readings count, from when on, and what it tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.prepayment.engine import rate_account
from headend.service.accounts import add_tariff, open_account
from ohmesh.model.errors import Conflict, PrepaymentError
from ohmesh.wire.uplink import encode_batch

NOW = datetime(2026, 6, 1, tzinfo=UTC)
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
        self.account = self.store.ask(
            open_account(1, "home", meter="M1", tariff="flat", now=NOW, **options)
        )

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

    def rate(self, now=NOW):
        self.store.work(rate_account(self.account, now))
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
        "ref": {"energy_wh": 2000, "price_mu_per_kwh": PRICE_MU},
    }


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
