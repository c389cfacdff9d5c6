"""Notices and webhooks: a cut waits for an accepted notice, and every event arrives once signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from headend.prepayment.engine import visit
from headend.service.accounts import add_tariff, open_account, top_up
from headend.service.webhooks import add_webhook
from headend.webhooks.sender import Sender

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TERMS = {"pack": "unrestricted-demo", "notice_minutes": 30, "low_mu": 100}


class Home:
    """An account that is running out, and the customer's notification gateway."""

    def __init__(self, store):
        self.store, self.now = store, NOW
        self.status, self.taken = 200, []
        store.gateway()
        store.meter()
        ask = store.ask
        ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1))
        self.account = ask(open_account(1, "home", meter="M1", tariff="flat", now=NOW, terms=TERMS))
        kinds = ["balance.low", "balance.zero", "topup.booked"]
        url = "https://hooks.example.com/in"
        self.hook = ask(add_webhook(1, url, kinds, store.keystore.seal, NOW))
        ask(top_up(1, "home", amount_mu=500, idempotency_key="a", now=NOW))
        client = httpx.Client(transport=httpx.MockTransport(self.receive))
        self.sender = Sender(
            url=store.urls["worker"],
            keystore=store.keystore,
            client=client,
            lookup=lambda *_: ["93.184.216.34"],
            now=lambda: self.now,
        )
        self.connection = store.connect("worker")

    def receive(self, request):
        assert request.url.host == "93.184.216.34"
        assert request.headers["host"] == "hooks.example.com"
        assert request.extensions["sni_hostname"] == "hooks.example.com"
        self.taken.append((request.headers["webhook-id"], json.loads(request.content)))
        return httpx.Response(self.status)

    def spend(self, amount_mu):
        self.store.as_admin_all(
            "insert into ohmesh.transfer (id, tenant_id, account_id, currency, txn, debit, credit,"
            " amount_mu, code, value_at, idempotency_key) values (gen_random_uuid(), 1,"
            f" {self.account}, 'EUR', 'x', 'wallet', 'rev_energy', {amount_mu}, 20, now(),"
            " gen_random_uuid()::text)"
        )
        self.store.as_admin_all(
            "update ohmesh.supply set kept = kept || jsonb_build_object('data_at',"
            f" '{self.now.isoformat()}')"
        )
        self.look()

    def look(self, **passed):
        self.now += timedelta(**passed)
        return self.store.work(visit(self.account, self.now))

    def send(self):
        while self.sender.step(self.connection):
            pass

    def kinds(self):
        return [body["type"] for _, body in self.taken]


@pytest.fixture
def home(store):
    return Home(store)


def test_a_cut_waits_half_an_hour_for_the_accepted_notice(home):
    home.spend(500)
    assert home.look(hours=2).reason == "notice"
    home.send()
    assert home.kinds() == ["topup.booked", "balance.low", "balance.zero"]
    assert home.look().state == "PROTECTED"
    assert home.look(minutes=29).state == "PROTECTED"
    assert home.look(minutes=1).state == "CUT_PENDING"


def test_while_the_notification_gateway_is_down_nobody_is_cut(home):
    home.status = 503
    home.spend(500)
    for _ in range(30):
        home.send()
        assert home.look(hours=1).state == "PROTECTED"
    tried = {kind: home.kinds().count(kind) for kind in home.kinds()}
    assert min(tried.values()) > 3, "it is tried again and again"
    assert len({identity for identity, _ in home.taken}) == 3, "each event has one id for ever"
    home.status = 200
    home.look(hours=6)
    home.send()
    home.spend(0 + 1)
    home.look(minutes=31)
    assert home.look(minutes=1).state == "CUT_PENDING"


def test_low_and_zero_are_told_once_a_downward_crossing(home):
    home.spend(450)
    home.spend(10)
    home.store.ask(top_up(1, "home", amount_mu=400, idempotency_key="b", now=home.now))
    home.spend(400)
    home.send()
    assert home.kinds().count("balance.low") == 2
    assert home.kinds().count("balance.zero") == 0


def test_a_name_that_turns_inward_is_not_called(home):
    home.sender._lookup = lambda *_: ["93.184.216.34", "10.0.0.5"]
    home.send()
    assert home.taken == []
    outcome = home.store.value("select outcome from ohmesh.webhook_delivery")
    assert "not public" in outcome
