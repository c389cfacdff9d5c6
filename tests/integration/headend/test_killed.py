"""A7: head-end processes killed at random while money, readings, commands and tokens are under way.

The head-end with its API, a second worker and the gate are processes of their own; the field and
the payers repeat themselves until they are answered, as gateways and payment providers do.
"""

from __future__ import annotations

import queue
import random
import signal
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from firmware_profiles import registry
from firmware_profiles.api import Report
from headend.prepayment.tokens.security import StsSoftTest
from headend.prepayment.tokens.vending import STS, StsVending
from headend.prepayment.tokens.vendor import StsVendor
from headend.service.accounts import add_tariff, open_account, top_up
from headend.service.fleet import NewMeter, register_meter
from headend.service.tokens import set_device
from headend.store import db
from meter_sim.servers.process import free_port, spawn, stop
from ohmesh.model.command import CommandKind, RelayState
from ohmesh.model.reading import Reading
from ohmesh.tokens.pan import MeterPan, luhn_digit
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.sealed import SealedKind

PRICE_MU = 10
BASE = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
STEP = timedelta(minutes=15)
TERMS = {"pack": "unrestricted-demo", "notice_minutes": None, "stale_after_s": 40 * 86_400}
CUTS_MAX = 30
"""Meters whose credit may run out."""


CUT_TWICE = "jsonb_array_length(coalesce(s.kept -> 'cuts_at', '[]')) >= 2"
"""Who was cut twice in a day keeps supply until the next."""


class Programs:
    """The processes of a head-end; who is killed is started again."""

    def __init__(self, store, headend_base, broker, folder):
        _, secrets = headend_base
        self.port, self.folder = free_port(), folder
        text = (secrets / "headend.toml").read_text().replace("/headend_base", f"/{store.name}")
        text = text.replace("port = 8080", f"port = {self.port}")
        text = text.replace("mqtt://127.0.0.1:1883", broker.url)
        lines = [line for line in text.splitlines() if not line.startswith("config_file")]
        serve, worker, gate = (folder / f"{n}.toml" for n in ("serve", "worker", "gate"))
        serve.write_text("\n".join(lines))
        other = [line for line in lines if "client_id" not in line]
        other.insert(other.index("[broker]") + 1, 'client_id = "other"')
        worker.write_text("\n".join(other))
        gate.write_text(
            (secrets / "gate.toml").read_text().replace("/headend_base", f"/{store.name}")
        )
        self.token = (secrets / "api-token").read_text().strip()
        self._commands = {"serve": serve, "worker": worker, "gate": gate}
        self.running = {}
        self.log = (folder / "log").open("ab")

    def __enter__(self):
        for name in self._commands:
            self.start(name)
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            stop(process, sig=signal.SIGKILL)
        self.log.close()

    def start(self, name):
        argv = [sys.executable, "-m", "ohmesh", "headend", name, "--config", self._commands[name]]
        self.running[name] = spawn(argv, log=self.log)

    def kill(self, name):
        stop(self.running[name], sig=signal.SIGKILL)
        self.start(name)


class Field:
    """Meters at one gateway, and its outbox: what is not acknowledged is sent again."""

    def __init__(self, kit, url, count):
        self.side = kit.GatewaySide(url, "gw1")
        self.meters = {f"M{n}": kit.Meter(kit.KEY, f"M{n}") for n in range(count)}
        self.register_wh, self.slot = Counter(), Counter()
        self.rows, self.through = [], 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="field")

    def __enter__(self):
        self.side.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)
        self.side.__exit__()

    def report(self, name):
        """A meter's next interval: a kWh, where its relay is on."""
        with self.lock:
            meter = self.meters[name]
            self.register_wh[name] += 1000 * (meter.relay is RelayState.CONNECTED)
            self.slot[name] += 1
            at = BASE + STEP * self.slot[name]
            spec = registry.load("nl_dsmr").spec.registers["el.energy.import"]
            value = self.register_wh[name] // 10**spec.scaler
            reading = Reading(spec, value, at)
            body = registry.load("nl_dsmr").encode(Report(name, at, (reading,)))
            self.rows.append(meter.telegram(SealedKind.REPORT, body))

    @property
    def quiet(self):
        return self.through == len(self.rows)

    def _run(self):
        while not self.over.is_set():
            self._obey()
            with self.lock:
                rows = self.rows[self.through : self.through + 200]
            for first in range(0, len(rows), 50):
                self.side.try_send(self.through + first, rows[first : first + 50])
            self._hear()

    def _obey(self):
        while not self.side.downs.empty():
            payload = self.side.downs.get()
            with self.lock:
                self.rows.append(self.meters[decode_down(payload).meter].obey(payload))

    def _hear(self):
        try:
            while True:
                ack = self.side.acks.get(timeout=0.15)
                self.through = max(self.through, ack.through)
        except queue.Empty:
            return


class Payers:
    """Wishes for money and tokens under keys of their own, repeated until they are answered."""

    def __init__(self, programs):
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{programs.port}/v1",
            headers={"Authorization": f"Bearer {programs.token}"},
            timeout=5,
        )
        self.open, self.answers = {}, {}

    def pay(self, key, contract, amount_mu):
        self.open[key] = (f"/contracts/{contract}/topups", {"amount_mu": amount_mu})

    def vend(self, key, meter):
        self.open[key] = (f"/meters/{meter}/tokens", {"kind": "electricity", "units": 10})

    def knock(self):
        """Ask once for everything that has no answer; and a second time for some that have."""
        for key, (path, body) in list(self.open.items()):
            try:
                answer = self.client.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                return
            if answer.status_code in {200, 201}:
                self.answers.setdefault(key, answer.json())
                assert self.answers[key] == answer.json(), "the same answer for ever"
                del self.open[key]
            else:
                assert answer.status_code >= 500, answer.text


def _settle_in(store, count):
    """Meters with contracts that have credit for a few kWh; some take tokens."""
    vendings = {STS: StsVending(StsVendor(StsSoftTest(), "test-hmac", random_bits=lambda: 5))}
    now = datetime.now(UTC)
    with db.connect(store.urls["api"], name="test") as connection, db.tenant(connection, 1):
        db.run(connection, add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=PRICE_MU))
        for n in range(count):
            name, meter = f"A{n}", f"M{n}"
            sealed = store.keystore.seal(meter, bytes(range(16)))
            new = NewMeter(meter, meter, "nl_dsmr", 900, sealed)
            db.run(connection, register_meter(1, new))
            opening = open_account(
                1, name, meter=meter, tariff="flat", now=now, rated_from=BASE, terms=TERMS
            )
            db.run(connection, opening)
            credit = 3 * PRICE_MU if n < CUTS_MAX else 10**6
            db.run(connection, top_up(1, name, amount_mu=credit, idempotency_key=name, now=now))
            if n < CUTS_MAX:
                drn = f"{n:010d}"
                pan = str(MeterPan("600727", drn + luhn_digit(drn)))
                identity = {"pan": pan, "supply_group": "123457"}
                db.run(connection, set_device(1, meter, STS, identity, vendings))
    store.as_admin_all("update ohmesh.meter_status set gateway_id = 1")


def _run(store, kit, headend_base, broker, folder, *, meters, kills):
    dice = random.Random(7)
    store.gateway("gw1")
    _settle_in(store, meters)
    killed = Counter()
    with (
        Programs(store, headend_base, broker, folder) as programs,
        Field(kit, broker.url, meters) as field,
    ):
        payers = Payers(programs)
        for name in field.meters:
            field.report(name)
        paid = Counter()
        for number in range(kills):
            for n in dice.sample(range(meters), min(meters, 20)):
                field.report(f"M{n}")
            for n in dice.sample(range(CUTS_MAX), 4):
                field.report(f"M{n}")
            for wish in range(3):
                n = dice.randrange(CUTS_MAX)
                amount = PRICE_MU * dice.randint(1, 3)
                payers.pay(f"pay-{number}-{wish}", f"A{n}", amount)
                paid[n] += amount
            payers.vend(f"token-{number}", f"M{dice.randrange(CUTS_MAX)}")
            until = time.monotonic() + dice.uniform(0.2, 4.0)
            while time.monotonic() < until:
                payers.knock()
                time.sleep(0.05)
            name = dice.choice(list(programs.running))
            programs.kill(name)
            _ease(store)
            killed[name] += 1
        _come_to_rest(store, field, payers)
        payers.client.close()
    _judge(store, field, payers, paid)
    return killed, field


def _ease(store):
    """The gate's limits are not what is tested here: its releases are of another day."""
    store.as_admin_all(
        "update ohmesh.release set at = at - interval '3 days' where at > now() - '2 d'::interval;"
        " delete from ohmesh.release_hold; update ohmesh.breaker set opened_at = null"
    )


def _come_to_rest(store, field, payers, limit_s=240):
    """Nothing is open and nothing changes any more."""
    deadline, before, still = time.monotonic() + limit_s, None, 0
    while still < 8:
        assert time.monotonic() < deadline, (len(payers.open), field.through, len(field.rows))
        payers.knock()
        _ease(store)
        time.sleep(0.5)
        now = store.rows(
            "select (select count(*) from ohmesh.account_news) as news,"
            " (select count(*) from ohmesh.command"
            "  where state in ('queued', 'sent', 'in_field')) as commands,"
            " (select count(*) from ohmesh.transfer) as transfers,"
            " (select count(*) from ohmesh.supply s join ohmesh.account_balance w"
            "  on w.account_id = s.account_id and w.book = 'wallet'"
            f"  where s.desired = 1 and w.credits_mu <= w.debits_mu and not {CUT_TWICE}) as to_cut"
        )[0]
        open_ = now["news"] or now["commands"] or now["to_cut"] or payers.open
        quiet = field.quiet and not open_
        still = still + 1 if quiet and now == before else 0
        before = now


def _judge(store, field, payers, paid):
    assert (
        store.value("select coalesce(sum(credits_mu - debits_mu), 0) from ohmesh.account_balance")
        == 0
    )
    folded = store.rows(
        "select b.account_id from ohmesh.account_balance b where b.credits_mu - b.debits_mu <>"
        " (select coalesce(sum(case when f.credit = b.book then f.amount_mu else -f.amount_mu end),"
        " 0) from ohmesh.transfer f where f.account_id = b.account_id"
        " and b.book in (f.debit, f.credit))"
    )
    assert folded == [], "I2"
    wallets = store.rows(
        "select a.name, w.credits_mu - w.debits_mu as wallet_mu, s.desired,"
        f" {CUT_TWICE} as cut_twice from ohmesh.account a"
        " join ohmesh.account_balance w on w.account_id = a.id and w.book = 'wallet'"
        " join ohmesh.supply s on s.account_id = a.id"
    )
    for row in wallets:
        n = int(row["name"][1:])
        credit = 3 * PRICE_MU if n < CUTS_MAX else 10**6
        used = field.register_wh[f"M{n}"] * PRICE_MU // 1000
        first = 1000 * PRICE_MU // 1000  # before the first register there is nothing to compare
        assert row["wallet_mu"] == credit + paid[n] - used + first, row
        on = field.meters[f"M{n}"].relay is RelayState.CONNECTED
        done = field.meters[f"M{n}"].executed
        assert on == (row["wallet_mu"] > 0 or (row["cut_twice"] and row["desired"])), (row, done)
        assert on == bool(row["desired"])
    tokens = {key: a["digits"] for key, a in payers.answers.items() if key.startswith("token")}
    assert len(set(tokens.values())) == len(tokens), "no token for two requests"
    assert store.value("select count(*) from ohmesh.token where state = 'issued'") == len(tokens)


def _executed(field):
    return Counter(kind for meter in field.meters.values() for kind in meter.executed)


def test_killed_processes_wrong_nobody(store, kit, headend_base, broker, tmp_path):
    killed, field = _run(store, kit, headend_base, broker, tmp_path, meters=40, kills=4)
    assert killed.total() == 4
    assert _executed(field)[CommandKind.RELAY_OFF] > 0


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_two_hundred_kills_in_a_street_of_a_thousand(store, kit, headend_base, broker, tmp_path):
    killed, field = _run(store, kit, headend_base, broker, tmp_path, meters=1000, kills=200)
    assert min(killed.values()) > 30
    assert min(_executed(field).values()) > 10
