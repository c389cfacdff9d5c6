"""What fails keeps supply on: rating errors, missing prices, restarts, unknown years and relays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.commands import sending
from headend.prepayment import engine
from headend.prepayment.contract import Supply  # noqa: TC001 - it is named in signatures alone
from headend.prepayment.outbox import Kind
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import parse_pack
from headend.prepayment.states import State
from headend.prepayment.supplying import policy_of, supply_of
from headend.prepayment.tokens.security import StsSoftTest
from headend.prepayment.tokens.vending import STS, StsVending
from headend.prepayment.tokens.vendor import StsVendor
from headend.service import tokens
from headend.service.accounts import add_tariff, add_version, open_account, top_up
from headend.service.commands import NewCommand, create_command
from headend.worker import Worker
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens.pan import MeterPan, luhn_digit

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
TERMS = {"pack": "unrestricted-demo", "notice_minutes": None, "stale_after_s": 400_000}
LATER = {
    "id": "later",
    "valid_from": "2026-06-02T00:00:00Z",
    "tz": "UTC",
    "block_upto_wh": [None],
    "price_mu_per_kwh": {"all": [1000]},
}


class Home:
    """One account whose registers the test writes, and a worker."""

    def __init__(self, store, tariff="flat"):
        self.store, self.now = store, NOW
        store.gateway()
        self.meter = store.meter()
        store.ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1000))
        store.ask(add_version(1, LATER, currency="EUR"))
        self.account = store.ask(
            open_account(
                1,
                "home",
                meter="M1",
                tariff=tariff,
                now=NOW,
                rated_from=NOW - timedelta(days=1),
                terms=TERMS,
            )
        )
        store.rows(
            "insert into ohmesh.channel (name, obis, unit, scaler) values"
            " ('el.energy.import', '1-0:1.8.0', 'Wh', 0) returning id",
            "ingest",
        )
        self.connection = store.connect("worker")
        self.worker = Worker(
            url=store.urls["worker"],
            keystore=store.keystore,
            publish=lambda *_: True,
            now=lambda: self.now,
        )

    def reads(self, *registers, start=NOW - timedelta(days=1)):
        for n, wh in enumerate(registers):
            at = start + n * timedelta(hours=1)
            self.store.rows(
                "insert into bulk.reading (meter_id, channel, ts, value)"
                " values (%(m)s, 1, %(t)s, %(v)s) returning 1",
                "ingest",
                m=1,
                t=at,
                v=wh,
            )
        self.store.rows(
            "insert into bulk.touched (meter_id, from_ts, to_ts) values (1, %(t)s, %(t)s)"
            " returning 1",
            "ingest",
            t=start,
        )

    def step(self):
        self.worker.step(self.connection)

    def supply(self) -> Supply:
        return supply_of(self.store.value("select kept::text from ohmesh.supply"))

    def commands(self):
        return self.store.value("select count(*) from ohmesh.command")


def test_an_error_in_rating_cuts_nobody_and_holds_up_nobody(store, monkeypatch):
    """F2. The news stays, and is worked on when the error is mended."""
    home = Home(store)
    home.reads(0, 5000)

    def broken(*_):
        raise ZeroDivisionError
        yield

    with monkeypatch.context() as patched:
        patched.setattr(engine.charges, "charge", broken)
        home.step()
    assert home.commands() == 0
    assert store.value("select count(*) from ohmesh.account_news") > 0
    home.worker._avoided.clear()
    home.step()
    assert home.supply().state is State.CUT_PENDING


def test_use_without_a_price_waits_and_is_not_charged(store):
    """F5. The tariff begins at midnight; what was used before has no price."""
    home = Home(store, tariff="later")
    home.reads(*range(0, 20_000, 1000))  # twelve hours before midnight, and some behind
    home.step()
    kinds = store.rows("select distinct kind from ohmesh.event where kind like 'reading%%'")
    assert [k["kind"] for k in kinds] == ["reading_tariff_missing"]
    charged = store.value("select sum(amount_mu) from ohmesh.transfer where code = 20")
    assert charged == 7000


def test_after_a_restart_those_who_wait_for_supply_go_first(store):
    """F9."""
    home = Home(store)
    for n in range(2, 6):
        store.meter(f"M{n}")
        store.ask(open_account(1, f"a{n}", meter=f"M{n}", tariff="flat", now=NOW, terms=TERMS))
    store.as_admin_all("delete from ohmesh.account_news")
    store.as_admin_all(
        "update ohmesh.supply set next_eval_at = '2026-06-01', state = case when account_id = 4"
        " then 'RECONNECT_PENDING' else 'PROTECTED' end"
    )
    due = store.work(engine.due_supply(home.now, 10, []))
    assert due[0] == 4
    assert sorted(due) == [1, 2, 3, 4, 5]


class Away(StsSoftTest):
    """A security module that serves until it is switched off."""

    down = False

    def encrypt(self, key, block):
        if self.down:
            raise PrepaymentError("module_down", "the security module does not answer")
        return super().encrypt(key, block)


def test_while_the_security_module_is_away_money_is_kept_and_then_given_back(store):
    """F7. The same request later is the same token; after a quarter of an hour it is none."""
    home, module = Home(store), Away()
    vendings = {STS: StsVending(StsVendor(module, "test-hmac", random_bits=lambda: 5))}
    pan = str(MeterPan("600727", "0000000007" + luhn_digit("0000000007")))
    device = {"pan": pan, "supply_group": "123457"}
    store.ask(tokens.set_device(1, "M1", STS, device, vendings))
    store.ask(top_up(1, "home", amount_mu=9000, idempotency_key="k", now=NOW))
    module.down = True
    made = {}
    for name in ("soon", "late"):
        wish = tokens.NewToken("M1", "electricity", 10, name, 4000)
        made[name] = store.ask(tokens.prepare(1, wish, vendings, home.now))
        with pytest.raises(PrepaymentError, match="does not answer"):
            vendings[STS].issue(made[name].content)
    wallet = "select credits_mu - debits_mu - debits_pending_mu from ohmesh.account_balance"
    wallet += " where book = 'wallet'"
    assert store.value(wallet) == 1000
    module.down = False
    again = tokens.NewToken("M1", "electricity", 10, "soon", 4000)
    soon = store.ask(tokens.prepare(1, again, vendings, home.now))
    assert vendings[STS].issue(soon.content) == vendings[STS].issue(made["soon"].content)
    store.ask(tokens.finish(1, soon, vendings, b"sealed", home.now))
    assert store.work(tokens.void_stale(home.now + timedelta(minutes=15))) == 0
    assert store.work(tokens.void_stale(home.now + timedelta(minutes=16))) == 1
    assert store.work(tokens.void_stale(home.now + timedelta(minutes=16))) == 0
    assert store.value(wallet) == 5000, "one is sold, the other was given back"
    with pytest.raises(PrepaymentError, match="new key"):
        store.ask(tokens.finish(1, made["late"], vendings, b"sealed", home.now))
    assert store.value(wallet) == 5000


def test_a_provider_that_is_silent_books_nothing_and_its_answer_is_asked_for_again(store):
    """F6. What was not confirmed is not there; asked again under its own name it is booked once."""
    Home(store)
    asked = [top_up(1, "home", amount_mu=50, idempotency_key="psp-1", now=NOW) for _ in range(2)]
    assert store.value("select count(*) from ohmesh.transfer") == 0
    assert [store.ask(plan).replayed for plan in asked] == [False, True]
    assert store.value("select count(*) from ohmesh.transfer") == 1


def test_a_command_that_was_leased_by_somebody_who_died_is_sent_when_the_lease_is_over(store):
    """F8: a fail-over between the lease and the send costs ten seconds, no command."""
    home = Home(store)
    store.as_admin_all("update ohmesh.meter_status set gateway_id = 1")
    request = NewCommand("M1", CommandKind.RELAY_READ, NOW + timedelta(hours=1), "r", "operator")
    store.ask(create_command(1, request, NOW))
    [leased] = store.work(sending.look(home.now))
    assert store.work(sending.look(home.now)) == []
    home.now += sending.LEASE
    [again] = store.work(sending.look(home.now))
    assert again.id == leased.id
    assert store.work(sending.begin(again, home.now, 0.5)) is not None
    assert store.work(sending.begin(leased, home.now, 0.5)) is None, "who was away is too late"


def test_an_unknown_relay_is_unknown(store):
    """F10."""
    home = Home(store)
    home.step()
    assert home.supply().actual is None
    store.as_admin_all(
        "update ohmesh.meter_status set relay = 255, relay_counter = 7 where meter_id = 1"
    )
    home.step()
    assert home.supply().actual is None
    assert home.commands() == 0


def test_a_year_without_holiday_data_is_one_long_holiday():
    """F11."""
    pack = parse_pack(
        'title = "x"\n[calendar]\ncountry = "GB"\n[[permitted]]\n'
        'days = ["mon","tue","wed","thu","fri","sat","sun"]\nfrom = "00:00"\nto = "24:00"\n'
        'source = "a test of the calendar"',
        "x",
    )
    context = PermissionContext(policy_of({"name": "x", "terms": "{}", "zone": "UTC"}).zone)
    far = datetime(2990, 3, 3, 12, tzinfo=UTC)
    assert may_disconnect(far, pack, context).reason == "weekend_or_holiday"


@pytest.mark.parametrize("paid_first", [True, False])
def test_a_top_up_and_a_cut_at_the_same_time_leave_the_supply_on(store, paid_first):
    """The last word is the wallet's, whichever came first to the lock."""
    home = Home(store)
    home.reads(0, 5000)
    if paid_first:
        store.ask(top_up(1, "home", amount_mu=9000, idempotency_key="k", now=NOW))
    home.step()
    store.ask(top_up(1, "home", amount_mu=9000, idempotency_key="k", now=NOW))
    home.step()
    assert home.supply().desired_on
    open_cuts = store.value(
        "select count(*) from ohmesh.command where kind = 1 and state in ('queued', 'sent')"
    )
    assert open_cuts == 0
    assert all(c.kind is not Kind.DISCONNECT or not c.is_open for c in home.supply().commands)
