"""Every kind of command from its table to a simulated meter and back, with what was read back."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware_profiles import registry
from headend.gate.judging import Signer
from headend.gate.process import Gate
from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.service.commands import NewCommand, create_command
from headend.service.firmware import add_firmware
from headend.worker import Worker
from meter_sim.household import Household
from meter_sim.meter import Meter, MeterConfig
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import BadChecksum, WireError
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.tokens import sts
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.sts import TokenKind
from ohmesh.wire.commandbody import Period, TariffTable
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.firmware import sign_image
from ohmesh.wire.sealed import unseal
from ohmesh.wire.uplink import encode_batch

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
MAKER = bytes(range(32))
DECODER_KEY = bytes(range(50, 66))
QUARTER = timedelta(minutes=15)


class Site:
    """A head-end and one simulated meter on a clock of the test's own; the way between loses."""

    def __init__(self, store, kit):
        self.store, self.now = store, START
        self.luck, self.loss = random.Random(7), 0.0
        self.sent = []
        self.worker = Worker(
            url=store.urls["worker"],
            keystore=store.keystore,
            publish=lambda _, payload: not self.sent.append(decode_down(payload)),
            now=lambda: self.now,
        )
        self.work, self.ingest = store.connect("worker"), store.connect("ingest")
        self.gate = Gate(
            url=store.urls["gate"], signer=Signer(kit.GATE_KEY, {}), now=lambda: self.now
        )
        self.released, self.writer, self.rows = (
            store.connect("gate"),
            Writer(store.keystore),
            count(),
        )
        store.gateway()
        store.meter("M1")
        public = Ed25519PrivateKey.from_private_bytes(MAKER).public_key()
        config = MeterConfig(
            meter="M1",
            address="M1",
            key=kit.KEY,
            profile=registry.load("nl_dsmr"),
            interval_s=900,
            household=Household(5, 400, 0, 1_000_000),
            decoder_key=DECODER_KEY,
            maker_key=public.public_bytes(Encoding.Raw, PublicFormat.Raw),
            drift_ms=200_000,
        )
        self.meter = Meter(config, START_MS)
        self.keys = iter(range(1000))
        self.pass_time(minutes=60)

    def pass_time(self, **passed):
        self.now += timedelta(**passed)
        for message in self.meter.advance(self.now_ms):
            self.up(message.payload)

    @property
    def now_ms(self):
        return int(self.now.timestamp() * 1000)

    def up(self, payload):
        telegram = Telegram(TelegramKind.METER, "mesh", "M1", "nl_dsmr", self.now_ms, payload)
        batch = encode_batch("gw1", 1, next(self.rows), [telegram])
        work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", batch)], 10)
        assert self.writer.store(self.ingest, work, now_ms=0).held == 0

    def ask(self, kind, body=b"", *, life=timedelta(hours=20)):
        request = NewCommand("M1", kind, self.now + life, f"k{next(self.keys)}", "test", body=body)
        return self.store.ask(create_command(1, request, self.now))

    def reboot(self):
        old = self.meter
        self.meter = Meter(
            old.config, START_MS, old.snapshot(), flash=old.flash, contactor=old.contactor
        )

    def round(self):
        """The worker sends, the meter obeys, its answers come up; each may be lost."""
        self.sent.clear()
        self.gate.step(self.released)
        self.worker.step(self.work)
        for down in list(self.sent):
            if self.luck.random() < self.loss:
                continue
            try:
                answers = self.meter.execute(down.payload, self.now_ms, self.now_ms // 1000)
            except WireError:
                continue
            for message in answers:
                if self.luck.random() >= self.loss:
                    self.up(message.payload)

    def finish(self, made, *, rounds=120, seconds=70):
        for _ in range(rounds):
            self.round()
            row = self.command(made)
            if row["state"] not in {"queued", "sent", "in_field"}:
                return row
            self.now += timedelta(seconds=seconds)
        raise AssertionError(f"not ended after {rounds} rounds: {row}")

    def command(self, made):
        sql = "select state, proof, detail, attempts from ohmesh.command where id = %(id)s"
        return self.store.rows(sql, id=made.id)[0]


@pytest.fixture
def site(store, kit):
    return Site(store, kit)


def test_a_past_period_comes_by_the_way_of_readings(site):
    readings = site.store.counts()["readings"]
    site.store.value_as_owner(
        "with d as (delete from bulk.reading returning 1) select count(*) from d"
    )
    begin_s = int(START.timestamp())
    made = site.ask(CommandKind.LOAD_PROFILE_READ, Period(begin_s, begin_s + 3600).encode())
    row = site.finish(made)
    assert (row["state"], bytes(row["proof"])) == ("done", b"\0\4")
    assert site.store.counts()["readings"] == readings


def test_the_clock_is_set_to_the_moment_of_the_sending(site):
    made = site.ask(CommandKind.CLOCK_SET)
    site.now += timedelta(seconds=100)
    assert site.finish(made)["state"] == "done"
    assert site.meter.next_end_ms == int((START + 5 * QUARTER).timestamp() * 1000)


def test_a_tariff_is_read_back(site):
    table = TariffTable(3, ((0, 1), (420, 2)))
    assert site.finish(site.ask(CommandKind.TARIFF_SET, table.encode()))["state"] == "done"


def test_a_token_is_taken_once_over_a_bad_way(site):
    site.loss = 0.4
    token = sts.make(TokenKind.ELECTRICITY, 250, tid=5000, rnd=5)
    digits = sts.encode(token, Misty1(DECODER_KEY)).encode()
    row = site.finish(site.ask(CommandKind.TOKEN_ENTER, digits))
    assert (row["state"], site.meter.credit) == ("done", 250)
    site.loss = 0
    again = site.finish(site.ask(CommandKind.TOKEN_ENTER, digits))
    assert (again["state"], site.meter.credit) == ("failed", 250)


def test_a_new_key_takes_over_and_nothing_is_lost(site):
    made = site.ask(CommandKind.KEY_CHANGE, site.store.keystore.seal("M1", bytes(range(90, 106))))
    waiting = site.meter.advance(site.now_ms + 4 * 900_000)  # sealed under the old key
    site.now += 4 * QUARTER
    site.sent.clear()
    site.worker.step(site.work)
    (down,) = site.sent
    lost = site.meter.execute(down.payload, site.now_ms, site.now_ms // 1000)
    assert lost, "the first answer is lost on its way"
    for message in site.meter.advance(site.now_ms + 900_000):
        site.up(message.payload)  # under the new key, before the head-end knows that it serves
    site.now += QUARTER
    assert site.finish(made)["state"] == "done"
    assert site.finish(site.ask(CommandKind.READ_NOW))["state"] == "done"
    for message in waiting:
        site.up(message.payload)
    with pytest.raises(BadChecksum):
        site.meter.execute(down.payload, site.now_ms, 0)
    assert site.store.value("select count(*) from bulk.telegram_quarantine") == 0
    with pytest.raises(BadChecksum):
        unseal(site.meter.config.key, "M1", site.meter.advance(site.now_ms + 900_000)[0].payload)


def test_a_key_change_that_was_given_up_goes_on_with_the_same_key(site):
    first = site.ask(
        CommandKind.KEY_CHANGE, site.store.keystore.seal("M1", bytes(16)), life=timedelta(minutes=2)
    )
    site.sent.clear()
    site.worker.step(site.work)
    site.meter.execute(site.sent[0].payload, site.now_ms, 0)  # it has the key; the answer is lost
    site.now += timedelta(minutes=5)
    site.round()
    assert site.command(first)["state"] == "expired"
    second = site.ask(CommandKind.KEY_CHANGE, site.store.keystore.seal("M1", bytes([1] * 16)))
    assert site.finish(second)["state"] == "done"
    assert site.finish(site.ask(CommandKind.READ_NOW))["state"] == "done"


def test_firmware_arrives_over_loss_and_reboots(site):
    image = sign_image(MAKER, 9, random.Random(1).randbytes(4_000))
    kept = site.store.ask(add_firmware(1, "fw9", image, "test", site.now))
    made = site.ask(CommandKind.FIRMWARE, kept.offer.encode())
    site.loss = 0.2
    for _ in range(3):
        site.round()
        site.reboot()
        site.now += timedelta(seconds=70)
    row = site.finish(made)
    assert (row["state"], site.meter.firmware_version) == ("done", 9)
    assert site.finish(site.ask(CommandKind.READ_NOW))["state"] == "done"


def test_firmware_of_another_maker_fails_and_says_so(site):
    image = sign_image(bytes(32), 9, b"program")
    kept = site.store.ask(add_firmware(1, "fw9", image, "test", site.now))
    row = site.finish(site.ask(CommandKind.FIRMWARE, kept.offer.encode()))
    assert (row["state"], site.meter.firmware_version) == ("failed", 0)
