"""Record and replay on a real broker, a real gateway and a real pty."""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing

import pytest

from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.record import Header, Record
from meter_sim.capture.recorder import record
from meter_sim.capture.taps import BenchTap, MqttTap, SerialTap
from meter_sim.capture.telegrams import bench_record
from meter_sim.capture.writer import CaptureWriter
from meter_sim.replay.bench_target import BenchTarget
from meter_sim.replay.broker_target import BrokerTarget
from meter_sim.replay.player import Plan, Player
from meter_sim.replay.serial_target import SerialTarget
from meter_sim.servers.process import LOOPBACK
from ohmesh.wire.brokerurl import BrokerUrl

COUNT = 3000
FAST = Plan(speed=None)


def messages(name, count=COUNT, flags=1):
    return [Record(n, f"mqtt {name}/{n % 7}", b"%d" % n, flags) for n in range(count)]


def play(target, records, plan=FAST):
    with closing(target):
        return Player(target, plan).play(lambda: records)


@pytest.mark.parametrize("qos", [0, 1])
def test_what_is_replayed_is_recorded(shared_broker, tmp_path, qos):
    sent = messages(f"qos{qos}", flags=qos)
    path = tmp_path / "heard.ohmcap"
    url = BrokerUrl.parse(shared_broker.url)
    target = BrokerTarget(url, qos=None, patience_s=5)
    with closing(MqttTap(url, [f"qos{qos}/#"], qos)) as tap:
        sending = threading.Thread(target=play, args=(target, sent))
        with CaptureWriter(path, Header()) as writer:
            sending.start()
            found = record([tap], writer, seconds=60, count=COUNT, stop=lambda: False)
            sending.join()
    assert target.account.delivered == target.account.sent == COUNT
    assert found.gone is None
    with CaptureReader(path) as reader:
        heard = list(reader.records())
    assert [(r.channel, r.payload) for r in heard] == [(r.channel, r.payload) for r in sent]
    assert all(a.at_us <= b.at_us for a, b in itertools.pairwise(heard))


class Door:
    """A way to the broker that can be shut: a broker that goes away, as the replay sees it."""

    def __init__(self, port, bytes_max):
        self._target, self._left = port, bytes_max
        self._server = socket.create_server((LOOPBACK, 0))
        self.port = self._server.getsockname()[1]
        self.breaks = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _run(self):
        try:
            while True:
                client, _ = self._server.accept()
                with client, socket.create_connection((LOOPBACK, self._target)) as broker:
                    self._carry(client, broker)
        except OSError:
            return

    def _carry(self, client, broker):
        other = {client: broker, broker: client}
        while True:
            for side in select.select(list(other), [], [])[0]:
                octets = side.recv(4096)
                if not octets:
                    return
                if side is client and self._left is not None:
                    self._left -= len(octets)
                    if self._left < 0:
                        self._left = None
                        self.breaks += 1
                        return
                other[side].sendall(octets)


def test_a_broker_that_comes_back_gets_everything(shared_broker):
    sent = messages("again")
    with (
        closing(MqttTap(BrokerUrl.parse(shared_broker.url), ["again/#"], 0)) as tap,
        Door(shared_broker.port, bytes_max=20_000) as door,
    ):
        target = BrokerTarget(BrokerUrl(LOOPBACK, door.port), qos=1, patience_s=20)
        played = play(target, sent)
        heard = Counter()
        while len(heard) < COUNT:
            assert select.select(tap.descriptors(), [], [], 30)[0]
            heard.update(r.payload for r in tap.read())
    assert door.breaks == 1
    assert played.gone is None
    assert target.account.delivered == target.account.sent == COUNT
    assert target.account.resent > 0
    assert set(heard) == {r.payload for r in sent}


def test_a_broker_that_stays_away_is_told_with_what_it_did_not_get(shared_broker):
    sent = messages("gone")
    with Door(shared_broker.port, bytes_max=20_000) as door:
        target = BrokerTarget(BrokerUrl(LOOPBACK, door.port), qos=1, patience_s=0)
        door._server.close()  # nobody else gets in
        with closing(target):
            played = Player(target, FAST).play(lambda: sent)
        door._server = socket.create_server((LOOPBACK, 0))  # for the end of the block
    assert played.gone
    account = target.account
    assert account.delivered + len(account.undelivered) == COUNT
    assert {r.payload for r in account.undelivered} >= {r.payload for r in sent[account.sent :]}


class FakeGateway(threading.Thread):
    """Answers as a bench port does; refuses what it is told to, and may hang up once."""

    def __init__(self, refuse=(), hang_up_after=None):
        super().__init__()
        self._server = socket.create_server((LOOPBACK, 0))
        self.port = self._server.getsockname()[1]
        self.refuse, self.hang_up_after, self.taken = refuse, hang_up_after, []

    def run(self):
        try:
            while True:
                client, _ = self._server.accept()
                with client, client.makefile("rb") as lines:
                    self._serve(client, lines)
        except OSError:
            return

    def _serve(self, client, lines):
        for line in lines:
            meter = json.loads(line)["meter"]
            if meter in self.refuse:
                client.sendall(b'{"ok": false, "error": "no such meter"}\n')
                continue
            self.taken.append(meter)
            if len(self.taken) == self.hang_up_after:
                return  # taken, and the answer never comes
            client.sendall(b'{"ok": true, "epoch": 1, "seq": %d}\n' % len(self.taken))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.join()


def test_a_bench_port_that_hangs_up_gets_the_unanswered_lines_again():
    sent = [bench_record(f"M{n}", "", b"x", n) for n in range(600)]
    with FakeGateway(refuse={"M5"}, hang_up_after=100) as gateway:
        target = BenchTarget(LOOPBACK, gateway.port, patience_s=20)
        played = play(target, sent)
    assert played.gone is None
    assert target.account.refused == 1
    assert "no such meter" in target.account.reasons[0]
    assert target.account.delivered == 599
    assert set(gateway.taken) == {f"M{n}" for n in range(600)} - {"M5"}


def test_a_bench_tap_records_lines_and_hands_them_on(tmp_path):
    sent = [bench_record(f"M{n}", "", b"x", n) for n in range(50)]
    with FakeGateway() as gateway, closing(BenchTap(0, LOOPBACK, gateway.port)) as tap:
        target = BenchTarget(LOOPBACK, tap.port, patience_s=5)
        sending = threading.Thread(target=play, args=(target, sent))
        with CaptureWriter(tmp_path / "tap.ohmcap", Header()) as writer:
            sending.start()
            done = []
            record([tap], writer, seconds=30, count=None, stop=lambda: not sending.is_alive())
            done.append(writer.count)
            sending.join()
    with CaptureReader(tmp_path / "tap.ohmcap") as reader:
        assert [r.payload for r in reader.records()] == [r.payload for r in sent]
    assert target.account.delivered == 50


def test_a_serial_line_is_replayed_and_tapped(tmp_path):
    sent = [Record(n * 1000, "serial p1", bytes([n]) * 20) for n in range(40)]
    target = SerialTarget(None)
    with closing(SerialTap(target.path)) as tap, CaptureWriter(tmp_path / "s", Header()) as writer:
        program = os.open(tap.path, os.O_RDONLY | os.O_NOCTTY)
        player = Player(target, FAST)
        sending = threading.Thread(target=player.play, args=(lambda: sent,))
        sending.start()
        expected, got = b"".join(r.payload for r in sent), b""
        heard = []
        while len(got) < len(expected):
            assert select.select([*tap.descriptors(), program], [], [], 20)[0]
            heard += tap.read()
            if select.select([program], [], [], 0)[0]:
                got += os.read(program, 4096)
        sending.join()
        writer.extend(heard)
        os.close(program)
    target.close()
    assert got == expected
    assert b"".join(r.payload for r in heard) == expected
    assert target.account.delivered == 40


def run(*words):
    argv = [sys.executable, "-m", "ohmesh", "sim", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands_from_import_to_export(tmp_path, shared_broker):
    day, gone = tmp_path / "day.ohmcap", tmp_path / "gone.ohmcap"
    text = tmp_path / "day.txt"
    text.write_text("".join(f"{n}.5 cli/{n} 0{n}\n" for n in range(5)))
    assert run("import", "mosquitto_sub", text, day).returncode == 0
    shown = run("show", day, "--records", "2")
    assert json.loads(shown.stdout.splitlines()[-1])["records"] == 5
    done = run("replay", day, "--to", shared_broker.url, "--speed", "max", "--qos", "1", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["delivered"], facts["undelivered"]) == (0, 5, 0)
    assert run("cut", day, gone, "--from", "1970-01-01T00:00:03Z").returncode == 0
    assert json.loads(run("show", gone, "--json").stdout)["records"] == 2
    assert run("export", day, tmp_path / "day.mcap").returncode == 0
    assert (tmp_path / "day.mcap").read_bytes().startswith(b"\x89MCAP")

    day.write_bytes(day.read_bytes()[:-30])
    refused = run("filter", day, gone)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "at byte" in refused.stderr
    assert run("show", day, "--salvage", gone).returncode == 0
    assert json.loads(run("show", gone, "--json").stdout)["records"] == 5


def test_the_commands_record_and_fan_out(tmp_path, shared_broker):
    day, heard = tmp_path / "day.ohmcap", tmp_path / "heard.ohmcap"
    with CaptureWriter(day, Header()) as writer:
        writer.extend(Record(n, f"mqtt fan/{n}", b"%d" % n, 1) for n in range(5))
    argv = [sys.executable, "-m", "ohmesh", "sim", "record", heard, "--broker", shared_broker.url]
    argv += ["--topic", "fan/#", "--qos", "1", "--count", "10", "--seconds", "50", "--json"]
    with subprocess.Popen([*map(str, argv)], stdout=subprocess.PIPE, text=True) as recording:
        sent, count = 0, 0
        while recording.poll() is None:  # it hears what comes once it has subscribed
            done = run("replay", day, "--to", shared_broker.url, "--speed", "max", "--loops", "2")
            facts = json.loads(done.stdout.splitlines()[-1])
            sent += facts["delivered"]
        count = json.loads(recording.stdout.read())["records"]
    assert (recording.returncode, count) == (0, 10)
    assert sent >= count
    with CaptureReader(heard) as reader:
        assert {r.payload for r in reader.records()} == {b"%d" % n for n in range(5)}


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "missing.ohmcap", "--to", "pty"),
        ("replay", "missing.ohmcap", "--to", "pty", "--speed", "0"),
        ("record", "x.ohmcap"),
        ("record", "x.ohmcap", "--bench", "nowhere"),
        ("cut", "a", "b", "--from", "yesterday"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, words):
    done = run(words[0], *(tmp_path / w if w.endswith("ohmcap") else w for w in words[1:]))
    assert done.returncode in {1, 2}
    assert done.stderr.count("\n") == 1
