"""Faults at every statement of the one transaction, on a real database: exact counts decide.

A server sees the end of a killed client as the end of its connection; so a connection that is cut
before its n-th statement is `kill -9` at that point, for every n.
"""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.store import db, migrate
from ohmesh.wire import topics
from ohmesh.wire.uplink import encode_batch

NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000
POINTS_MAX = 60


class CutError(Exception):
    """The process is dead from here on."""


class Cut:
    """Cuts the connection before the n-th thing that is said to the database."""

    def __init__(self, monkeypatch, at):
        self.left = at
        for name in ("rows", "execute", "copy"):
            monkeypatch.setattr(db, name, self._counted(getattr(db, name)))

    def _counted(self, say):
        def counted(connection, *rest):
            if self.left == 0:
                connection.close()
                raise CutError
            self.left -= 1
            return say(connection, *rest)

        return counted


def message(first, telegrams, *, gateway="gw1", epoch=1):
    payload = encode_batch(gateway, epoch, first, telegrams)
    return Delivery(topics.gateway_topic(gateway, "up"), payload)


def save(store, writer, *messages):
    connection = store.connect("ingest")
    return writer.store(connection, sort(messages, 10**6)[0], now_ms=NOW_MS)


@pytest.fixture
def house(store):
    """One gateway with two meters, one of them unknown to the sender's batches' middle."""
    store.gateway()
    store.gateway("gw2")
    store.meter()
    store.meter("M2", key=None)
    return store


def mixed(kit):
    """Readings of two meters, a poison telegram in the middle, one of an unknown meter."""
    sealed = [kit.telegram(n) for n in range(6)]
    plain = [kit.telegram(n, meter="M2", key=None) for n in range(6)]
    poison = kit.telegram(99, payload=b"poison")
    stranger = kit.telegram(3, meter="M9", key=None)
    return [*sealed[:3], poison, *plain, stranger, *sealed[3:]]


WHOLE = {"readings": 12, "telegrams": 14, "held": 2}


def test_killed_before_any_statement_and_sent_again(house, kit):
    """Whatever the point: nothing of it is there, and the resend stores all of it once."""
    batch = message(0, mixed(kit))
    points = 0
    for at in range(POINTS_MAX):
        with pytest.MonkeyPatch.context() as monkeypatch:
            Cut(monkeypatch, at)
            try:
                stored = save(house, Writer(house.keystore), batch)
            except CutError:
                assert house.counts() == {"readings": 0, "telegrams": 0, "held": 0}, at
                points += 1
                continue
        assert stored.acks == [("gw1", 1, 14, 0)]
        break
    assert points >= 12, "the transaction says less than it used to: is the cut still in it?"
    assert house.counts() == WHOLE
    # Killed after the commit and before its acknowledgement: the same comes again.
    again = save(house, Writer(house.keystore), batch)
    assert (again.resent, again.readings, again.acks) == (14, 0, stored.acks)
    assert house.counts() == WHOLE


def test_killed_before_any_statement_of_trying_quarantine_again(house, kit):
    save(house, Writer(house.keystore), message(0, mixed(kit)))
    house.meter("M9", key=None)
    points = 0
    for at in range(POINTS_MAX):
        with pytest.MonkeyPatch.context() as monkeypatch:
            Cut(monkeypatch, at)
            try:
                Writer(house.keystore).requeue(house.connect("ingest"), 100)
            except CutError:
                assert house.counts() == WHOLE, at
                points += 1
                continue
        break
    assert points >= 5
    assert house.counts() == {"readings": 13, "telegrams": 14, "held": 1}


@pytest.mark.parametrize(
    ("state", "what"),
    [("53100", "the disk is full"), ("53200", "out of memory"), ("57P03", "soon")],
)
def test_an_error_of_the_server_is_waited_for(house, kit, state, what):
    """The server's own words for a full disk: nothing is held, nothing acknowledged, all later."""
    owner = house.connect("owner")
    owner.execute(
        "create function bulk.fail() returns trigger language plpgsql as"
        f" $$ begin raise exception '{what}' using errcode = '{state}'; end $$"
    )
    owner.execute("create trigger fail before insert on bulk.reading execute function bulk.fail()")
    batch, writer = message(0, mixed(kit)), Writer(house.keystore)
    with pytest.raises(db.Unavailable):
        save(house, writer, batch)
    assert house.counts() == {"readings": 0, "telegrams": 0, "held": 0}
    owner.execute("drop trigger fail on bulk.reading")
    assert save(house, writer, batch).acks == [("gw1", 1, 14, 0)]
    assert house.counts() == WHOLE


def test_a_lock_timeout_is_waited_for(house, kit):
    owner = house.connect("owner")
    connection = house.connect("ingest")
    connection.execute("set lock_timeout = '100ms'")
    batch, writer = sort([message(0, mixed(kit))], 10**6)[0], Writer(house.keystore)
    with owner.transaction():
        owner.execute("lock table bulk.reading in access exclusive mode")
        with pytest.raises(db.Unavailable):
            writer.store(connection, batch, now_ms=NOW_MS)
    assert house.counts() == {"readings": 0, "telegrams": 0, "held": 0}
    writer.store(connection, batch, now_ms=NOW_MS)
    assert house.counts() == WHOLE


@pytest.mark.parametrize("off_ms", [DAY_MS, -DAY_MS, -NOW_MS, 2**62])
def test_a_gateway_whose_clock_is_off(house, kit, off_ms):
    """Readings keep their meter's time; nobody is seen in the future."""
    rows = [
        replace(t, received_at_ms=max(0, t.received_at_ms + off_ms))
        for t in (kit.telegram(n) for n in range(8))
    ]
    save(house, Writer(house.keystore), message(0, rows))
    assert house.counts() == {"readings": 8, "telegrams": 8, "held": 0}
    times = house.rows("select ts from bulk.reading order by ts")
    assert [row["ts"] for row in times] == [kit.START + (n + 1) * kit.STEP for n in range(8)]
    assert house.value("select count(*) from ohmesh.meter_status where last_seen > now()") == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_day_twice_shuffled_and_in_pieces_of_any_size(house, kit, seed):
    dice = random.Random(seed)
    rows = [kit.telegram(n, meter="M2", key=None) for n in range(96)]
    pieces = []
    for _ in range(2):
        at = 0
        while at < len(rows):
            size = dice.randint(1, 20)
            pieces.append(message(at, rows[at : at + size]))
            at += size
    dice.shuffle(pieces)
    writer = Writer(house.keystore)
    while pieces:
        take = dice.randint(1, 4)
        save(house, writer, *pieces[:take])
        del pieces[:take]
    assert house.counts() == {"readings": 96, "telegrams": 96, "held": 0}
    assert house.value("select got::text from ohmesh.gateway_progress") == "{[0,96)}"


def test_a_foreign_batch_in_a_gateways_name_is_not_accepted(house, kit):
    """A captured batch of one gateway, replayed on another one's topic."""
    captured = message(0, mixed(kit))
    foreign = captured._replace(topic=topics.gateway_topic("gw2", "up"))
    stored = save(house, Writer(house.keystore), foreign)
    assert stored.acks == []
    assert house.counts()["readings"] == 0
    reasons = house.rows("select reason from bulk.telegram_quarantine")
    assert [row["reason"] for row in reasons] == ["batch:malformed"]


def test_one_poison_telegram_in_every_batch(house, kit):
    writer, batches, size = Writer(house.keystore), 20, 10
    for number in range(batches):
        rows = [kit.telegram(number * size + n, meter="M2", key=None) for n in range(size)]
        rows[number % size] = kit.telegram(number, meter="M2", payload=bytes([number] * 50))
        save(house, writer, message(number * size, rows))
    assert house.counts() == {
        "readings": batches * (size - 1),
        "telegrams": batches * size,
        "held": batches,
    }


def test_two_gateways_race_with_the_same_intervals(house, kit):
    """Both deliver each interval of one meter, in opposite order and at the same time."""
    rows = [kit.telegram(n, meter="M2", key=None) for n in range(60)]
    outcomes = []

    def deliver(gateway, batch):
        writer = Writer(house.keystore)
        for first in range(0, 60, 10):
            messages = message(first, batch[first : first + 10], gateway=gateway)
            outcomes.append(save(house, writer, messages))

    threads = [
        threading.Thread(target=deliver, args=("gw1", rows)),
        threading.Thread(target=deliver, args=("gw2", rows[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert house.counts() == {"readings": 60, "telegrams": 120, "held": 0}
    assert sum(one.readings for one in outcomes) == 60
    assert sum(one.taken for one in outcomes) == 60


def test_a_migration_killed_at_any_statement_finishes_later(store, kit, monkeypatch):
    """Each file is one transaction: what was killed is not there, the next run does the rest."""
    store.gateway()
    store.meter("M2", key=None)
    writer = Writer(store.keystore)
    save(store, writer, message(0, [kit.telegram(n, meter="M2", key=None) for n in range(5)]))
    scripts = migrate.scripts

    def with_later(script):
        return lambda folder: [*scripts(folder), *([script] if folder == migrate.CORE else [])]

    steps = (
        "create table ohmesh.later (id int)",
        "alter table ohmesh.later add name text",
        "select 1/0",
    )
    for broken in range(1, len(steps) + 1):
        text = "; ".join((*steps[:broken][:2], steps[2]))
        script = migrate.Script("migrations/9000_later.sql", text, "x")
        monkeypatch.setattr(migrate, "scripts", with_later(script))
        with pytest.raises(Exception, match="division by zero"):
            migrate.migrate(store.connect("owner"))
        assert store.value("select to_regclass('ohmesh.later') is null")
    whole = migrate.Script("migrations/9000_later.sql", "; ".join(steps[:2]), "x")
    monkeypatch.setattr(migrate, "scripts", with_later(whole))
    assert migrate.migrate(store.connect("owner")).applied == ("migrations/9000_later.sql",)
    save(store, writer, message(5, [kit.telegram(n, meter="M2", key=None) for n in range(5, 9)]))
    assert store.counts() == {"readings": 9, "telegrams": 9, "held": 0}
