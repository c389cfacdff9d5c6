"""The key-encryption key is changed while everything runs, and what it seals shows no key."""

from __future__ import annotations

import base64
import random
import secrets
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headend.keystore import Keystore, market_name
from headend.ops.rekey import PLACES, rekey
from headend.prepayment.tokens.vending import PAYGO, PaygoVending
from headend.service import channels, tokens
from headend.service.commands import NewCommand, create_command
from headend.store import db
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import ConfigError

NEW = bytes(range(100, 132))
METERS, KEYS = 40, 1000
SEEN = "{[0,7)}"


@pytest.fixture
def old(headend_base):
    return bytes.fromhex(Path(headend_base[1], "kek").read_text())


@pytest.fixture
def owner(store):
    with db.connect(store.urls["owner"], name="test", autocommit=True) as connection:
        yield connection


def test_a_change_under_traffic_costs_no_reading(store, broker, kit, owner, old):
    names = [f"M{n}" for n in range(METERS)]
    keys = {name: secrets.token_bytes(16) for name in names}
    store.gateway()
    for name in names:
        store.meter(name, key=keys[name])
    told, over = [], threading.Event()

    def tell(rounds):
        """Every meter so many times more; how many telegrams there were before."""
        known = len(told)
        for number in range(known // METERS, known // METERS + rounds):
            told.extend(kit.telegram(number, meter=name, key=keys[name]) for name in names)
        return known

    def send():
        while not over.is_set():
            gateway.drain(told, through=tell(10), pause_s=0.01)

    store.keystore = Keystore(NEW, old)
    with kit.running_ingest(store, broker.url), kit.GatewaySide(broker.url) as gateway:
        sender = threading.Thread(target=send)
        sender.start()
        anew = rekey(owner, store.keystore)["meter_keys"].anew
        over.set()
        sender.join()
    store.keystore = Keystore(NEW)
    with kit.running_ingest(store, broker.url), kit.GatewaySide(broker.url) as gateway:
        gateway.send(tell(1), told[-METERS:])
        gateway.wait_ack(len(told))
    assert anew == METERS
    assert store.counts() == {"readings": len(told), "telegrams": len(told), "held": 0}


def fill(store, owner, now):
    """Something in every place; the webhook's and the token's as their routes would put it."""
    store.meter()
    owner.execute(
        "update ohmesh.meter set market_keys_sealed = %s, old_key_sealed = %s",
        (store.keystore.seal(market_name("M1"), bytes(32)), store.keystore.seal("M1", bytes(16))),
    )
    change = NewCommand(
        "M1",
        CommandKind.KEY_CHANGE,
        now + timedelta(days=1),
        "k1",
        "operator",
        body=store.keystore.seal("M1", bytes(range(16, 32))),
    )
    store.ask(create_command(1, change, now))
    owner.execute("update ohmesh.meter_status set up_seen = %s", (SEEN,))
    hook = "00000000-0000-0000-0000-000000000001"
    owner.execute(
        "insert into ohmesh.webhook values (%s, 1, 'https://a.example/', '{}', %s, true, now())",
        (hook, store.keystore.seal(f"webhook/{hook}", b"secret")),
    )
    owner.execute(
        "insert into ohmesh.token (id, tenant_id, meter_id, request_key, kind, units, prepared,"
        " token_sealed, state, made_at) select %s, 1, id, 'r', 'credit', 1, '{}', %s, 'issued',"
        " now() from ohmesh.meter",
        (hook, store.keystore.seal(f"token/{hook}", b"12345678901234567890")),
    )


def fill_payments(store):
    """A paid device, a token of it, and a channel of payments."""
    paygo = PaygoVending(store.keystore.seal, store.keystore.open)
    device = {"secret_hex": "a29ab82edc5fbbc41ec9530f6dac86b1"}
    store.ask(tokens.set_device(1, "M1", PAYGO, device, {PAYGO: paygo}))
    wish = tokens.NewToken("M1", "add_time", 5, "days")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = store.ask(tokens.prepare(1, wish, {PAYGO: paygo}, now))
    store.ask(channels.set_channel(1, "bank", store.keystore.seal, now))
    return made, paygo.issue(made.content)


def test_days_that_were_sold_before_are_shown_after_and_a_repeat_keeps_the_count(store, owner, old):
    store.meter()
    made, digits = fill_payments(store)
    rekey(owner, Keystore(NEW, old))
    alone = Keystore(NEW)
    vendings = {PAYGO: PaygoVending(alone.seal, alone.open)}
    kept = store.ask(tokens.find(1, vendings, token_id=made.id))
    assert vendings[PAYGO].issue(kept.content) == digits
    device = {"secret_hex": "a29ab82edc5fbbc41ec9530f6dac86b1"}
    store.ask(tokens.set_device(1, "M1", PAYGO, device, vendings))
    assert store.value("select last_tid from ohmesh.token_meter") == 2


def test_every_place_is_sealed_anew_and_only_once(store, kit, owner, old):
    fill(store, owner, kit.START)
    fill_payments(store)
    both = Keystore(NEW, old)
    assert {place: (c.found, c.anew, c.unreadable) for place, c in rekey(owner, both).items()} == (
        dict.fromkeys(PLACES, (1, 1, 0))
    )
    (status,) = owner.execute("select up_seen::text as seen from ohmesh.meter_status").fetchall()
    assert status["seen"] == SEEN, "counters that were seen stay seen"
    alone = Keystore(NEW)
    assert all((c.found, c.anew, c.unreadable) == (1, 0, 0) for c in rekey(owner, alone).values())
    (told,) = owner.execute("select count(*) as n from ohmesh.audit_log where action = 'rekey'")
    assert told["n"] == 2
    nobody = rekey(owner, Keystore(bytes(32)))
    assert {c.unreadable for c in nobody.values()} == {1}
    (kept,) = owner.execute("select key_sealed from ohmesh.meter").fetchall()
    assert alone.open("M1", bytes(kept["key_sealed"])) == kit.KEY, "it was left as it was"
    with pytest.raises(ConfigError):
        Keystore(old).open("M1", bytes(kept["key_sealed"]))


def test_no_sealed_column_is_forgotten(owner):
    """A place that `rekey` does not know would be lost with the old key."""
    columns = owner.execute(
        "select table_name || '.' || column_name as name from information_schema.columns"
        " where column_name like '%sealed%' and table_schema = 'ohmesh'"
        " and table_name in (select table_name from information_schema.tables"
        "                    where table_type = 'BASE TABLE')"
    )
    assert {row["name"] for row in columns} == {
        "meter.key_sealed",
        "meter.market_keys_sealed",
        "meter.next_key_sealed",
        "meter.old_key_sealed",
        "webhook.secret_sealed",
        "payment_channel.secret_sealed",
        "token.token_sealed",
        "kept_answer.sealed",  # under the API's own secret, for a day
    }


def test_a_dump_shows_no_meters_key(store, owner):
    chance = random.Random(10)
    keys = [chance.randbytes(16) for _ in range(KEYS)]
    for number, key in enumerate(keys):
        store.meter(f"M{number}", key=key)
    tables = owner.execute(
        "select schemaname || '.' || tablename as name from pg_tables"
        " where schemaname in ('ohmesh', 'bulk')"
    ).fetchall()
    text = b"".join(dump(owner, table["name"]) for table in tables)
    assert text.count(b"M999") > 0, "the meters are in the dump"
    forms = (bytes.hex, lambda key: base64.b64encode(key).decode().rstrip("="))
    shown = [key for key in keys if any(form(key).encode() in text for form in forms)]
    assert shown == []
    assert not any(key in text for key in keys)


def dump(owner, table):
    with owner.cursor().copy(f"copy (select t::text from {table} t) to stdout") as rows:
        return b"".join(bytes(row) for row in rows)
