"""The whole system under seeded faults: nothing lost, nothing twice, nobody with credit dark.

    OHMESH_SEED=123 python -m pytest tests/simulation/system -k replay

plays one seed again; OHMESH_METERS and OHMESH_HOURS make its world larger. The last tests break
the product on purpose: each break has to be seen.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from whole.sim import Sim

from headend.commands import sending
from headend.ingest import progress, writer
from headend.ingest.loop import Ingest
from headend.prepayment import supplying
from headend.store import db
from ohmesh.model.ids import GatewayId
from ohmesh.wire import topics
from ohmesh.wire.uplink import encode_ack

HOURS = int(os.environ.get("OHMESH_HOURS", "2"))
METERS = int(os.environ.get("OHMESH_METERS", "6"))
LARGER = {"meters": 12, "hours": 24}
LARGEST = {"meters": 100, "hours": 48}
KNOWN = 20
FRESH = 20
SOAK = 1000
SOAK_LARGER = 20
SOAK_LARGEST = 3
SLOTS_A_DAY = 96
SEEDS_TO_BREAK_IN = 40


@pytest.fixture
def folder():
    """In memory, where there is such a place."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def play(folder):
    """A run by its seed; a breach tells how to play it again."""

    def run(seed, hours=HOURS, meters=METERS):
        place = Path(tempfile.mkdtemp(dir=folder))
        sim = Sim(seed, place, meters=meters)
        try:
            sim.play(hours)
        except Exception as error:
            world = f"OHMESH_SEED={seed} OHMESH_METERS={meters} OHMESH_HOURS={hours}"
            again = f"{world} python -m pytest tests/simulation/system -k replay"
            raise AssertionError(f"seed {seed}: {error}\nplay it again with: {again}") from error
        return sim

    return run


def test_known_seeds_come_to_every_fault(play):
    seen = Counter()
    for seed in range(KNOWN):
        sim = play(seed)
        assert sim.judge.truth
        seen += sim.judge.counts
        seen += Counter(row["kind"] for row in sim.head.store.table("event").values())
    for what in ("killed", "database", "not taken", "again", "execute", "top-up", "last_gasp"):
        assert seen[what], f"no run came to {what!r}: {seen}"


def test_seeds_that_nobody_has_seen(play):
    for _ in range(FRESH):
        assert play(secrets.randbelow(2**32)).judge.truth


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_thousand_seeds(play):
    first = secrets.randbelow(2**32)
    play_all(play, range(first, first + SOAK))


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(
    ("world", "seeds"), [(LARGER, SOAK_LARGER), (LARGEST, SOAK_LARGEST)], ids=["day", "two days"]
)
def test_larger_worlds(play, world, seeds):
    first = secrets.randbelow(2**32)
    for seed in range(first, first + seeds):
        assert play(seed, **world).judge.truth


@pytest.mark.skipif("OHMESH_SEED" not in os.environ, reason="plays the seed in OHMESH_SEED")
def test_replay(play):
    play(int(os.environ["OHMESH_SEED"]))


def test_the_same_seed_is_the_same_run(play):
    once, again = play(5, 1).judge.trace, play(5, 1).judge.trace
    assert once == again != play(6, 1).judge.trace


def without_power(air, meters):
    """The stations are off; the meters count on."""
    for meter in meters:
        air.kill(meter.node)

    def back():
        for meter in meters:
            air.boot(meter.node)
            meter.hand_over()

    return back


def without_radio(air, meters):
    """Nobody hears them; the stations keep what they are given."""
    links = [(m.node, other, rssi) for m in meters for other, rssi in air.links[m.node].items()]
    for one, other, _ in links:
        air.cut(one, other)

    def back():
        for link in links:
            air.link(*link)

    return back


def closed_within_six_hours(folder, silence, *, seed, meters):
    missed, left = Sim(seed, folder, meters=meters).play_outage(silence, 6)
    dark = len(range(0, meters, 10))
    assert len({(meter, at) for meter, _, at in missed}) >= dark * (SLOTS_A_DAY - 1), seed
    assert 1000 * len(left) <= len(missed), f"seed {seed}: {len(left)} of {len(missed)}"


def test_the_gaps_of_a_day_are_closed_within_six_hours(folder):
    closed_within_six_hours(folder, without_radio, seed=1, meters=4)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("silence", [without_power, without_radio])
def test_of_a_thousand_gaps_999_are_closed_within_six_hours(folder, silence):
    """A day without a tenth of 110 meters, then hours with every fault."""
    closed_within_six_hours(folder, silence, seed=secrets.randbelow(2**32), meters=110)


def acknowledge_before_the_commit(self, connection, work, deliveries, hold=None):
    with db.transaction(connection):
        stored = self._writer._write(connection, work, 0, hold)
        for ack in stored.acks:
            topic = topics.gateway_topic(GatewayId(ack.gateway), "ack")
            self._publish(topic, encode_ack(ack.epoch, ack.through, ack.again))
    self._source.done(deliveries)


def drop_what_comes_with_a_resend(connection, batches, fresh=progress.fresh):
    items = fresh(connection, batches)
    whole = sum(len(batch.rows) for _, batch in batches)
    return items if len(items) == whole else []


def nothing(*_, **__):
    return None


def no_plan(*_, **__):
    yield from ()


def play_all(play, seeds):
    for seed in seeds:
        play(seed)


BREAKS = {
    "an acknowledgement before the commit": [(Ingest, "_store", acknowledge_before_the_commit)],
    "new rows dropped with a resend": [(progress, "fresh", drop_what_comes_with_a_resend)],
    "a decision without a fence": [
        (sending, "_refusal", nothing),
        (supplying, "supersede", no_plan),
    ],
    "a counter that goes back": [(sending, "counter_floor", lambda _: 0)],
    "channels of before a restore": [(writer.Writer, "forget", nothing)],
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_seen(play, monkeypatch, name):
    for broken in BREAKS[name]:
        monkeypatch.setattr(*broken)
    with pytest.raises(AssertionError, match="play it again"):
        play_all(play, range(SEEDS_TO_BREAK_IN))
