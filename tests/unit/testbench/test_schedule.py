from __future__ import annotations

import pytest

from meter_sim.capture.benchline import decode_line
from meter_sim.capture.record import Record
from meter_sim.capture.telegrams import bench_record
from meter_sim.replay.cast import play
from meter_sim.replay.player import Plan, Player
from meter_sim.replay.schedule import percentile, schedule
from meter_sim.replay.target import Account, TargetGoneError
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import decode_batch, encode_batch

RECORDS = [Record(at_us, "mqtt t", bytes([n])) for n, at_us in enumerate((1_000_000, 3_000_000))]


def dues(speed, loops=1):
    return [d.at_s for d in schedule(lambda: RECORDS, speed=speed, loops=loops)]


@pytest.mark.parametrize(
    ("speed", "loops", "expected"),
    [(1, 1, [0, 2]), (100, 1, [0, 0.02]), (1, 2, [0, 2, 4, 6]), (None, 2, [0, 0, 0, 0])],
)
def test_distances_are_kept_and_divided(speed, loops, expected):
    assert dues(speed, loops) == pytest.approx(expected)


def test_time_that_runs_back_does_not():
    back = [Record(5_000_000, "a", b""), Record(4_000_000, "a", b""), Record(6_000_000, "a", b"")]
    assert [d.at_s for d in schedule(lambda: back, speed=1, loops=1)] == [0, 0, 1]


def test_percentiles():
    assert percentile([], 99) == 0
    assert percentile([5.0], 99) == 5
    assert percentile([float(n) for n in range(1, 101)], 99) == 99
    assert percentile([float(n) for n in range(1, 101)], 50) == 50


def test_fan_out_plays_a_meter_as_many():
    telegram = Telegram(TelegramKind.METER, "p1", Address("M1"), "nl_dsmr", 5000, b"x")
    up = Record(0, "mqtt ohmesh/v1/gw/gw1/up", encode_batch("gw1", 7, 3, [telegram]), 1)
    copies = list(play(up, fan_out=3, loop=0, shift_ms=0))
    assert copies[0] == up
    batches = [decode_batch(copy.payload) for copy in copies]
    assert [b.gateway for b in batches] == ["gw1", "gw1-1", "gw1-2"]
    assert [b.rows[0].meter for b in batches] == ["M1", "M1-1", "M1-2"]
    assert {(b.epoch, b.first_seq, b.rows[0].payload) for b in batches} == {(7, 3, b"x")}


def test_each_pass_is_an_outbox_of_its_own_and_times_move():
    telegram = Telegram(TelegramKind.METER, "p1", Address("M1"), "nl_dsmr", 5000, b"x")
    up = Record(0, "mqtt ohmesh/v1/gw/gw1/up", encode_batch("gw1", 7, 3, [telegram]), 1)
    (copy,) = play(up, fan_out=1, loop=2, shift_ms=500)
    batch = decode_batch(copy.payload)
    assert (batch.epoch, batch.rows[0].received_at_ms) == (9, 5500)
    (line,) = play(bench_record("M1", "", b"x", 5_000_000), fan_out=1, loop=0, shift_ms=500)
    assert decode_line(line.payload).received_at_ms == 5500


class Breaking:
    """A target that takes so many records and is then gone."""

    def __init__(self, takes):
        self.account = Account()
        self.takes = takes
        self.got = []

    def parts(self, record):
        return () if record.kind == "serial" else (record,)

    def send(self, record):
        if len(self.got) == self.takes:
            raise TargetGoneError("gone")
        self.got.append(record)
        self.account.sent += 1
        self.account.took(record)

    def pump(self, wait_s):
        pass

    def finish(self):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("takes", [0, 1, 7, 12])
def test_what_was_not_delivered_is_told_exactly(takes):
    records = [Record(n, "mqtt t", bytes([n])) for n in range(4)] + [Record(9, "serial x", b"")]
    target = Breaking(takes)
    played = Player(target, Plan(None, loops=3)).play(lambda: records)
    everything = [r.payload for r in records[:4]] * 3
    got = [r.payload for r in target.got]
    missing = [r.payload for r in target.account.undelivered]
    assert got + missing == everything
    assert target.account.skipped == 3
    assert (played.gone is None) == (takes == 12)
