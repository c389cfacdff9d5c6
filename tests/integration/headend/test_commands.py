"""The way down: sent until a result comes back, urgent first, and given up at the deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.commands import sending
from headend.commands.floor import COUNTER_STEP, counter_floor
from headend.gate.judging import Signer
from headend.gate.process import Gate
from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.service.commands import NewCommand, cancel_command, create_command
from headend.worker import Worker
from ohmesh.model.command import CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.errors import CommandError, Conflict
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.metercommand import decode_command, encode_result
from ohmesh.wire.report import DeliveryReport, DeliveryStatus, encode_report
from ohmesh.wire.sealed import SealedKind, seal, unseal
from ohmesh.wire.uplink import encode_batch

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Field:
    """A head-end on a clock of the test's own, with one gateway and its meters."""

    def __init__(self, store, kit):
        self.store, self.kit = store, kit
        self.now = START
        self.sent = []
        self.worker = Worker(
            url=store.urls["worker"],
            keystore=store.keystore,
            publish=lambda topic, payload: not self.sent.append((topic, payload)),
            now=lambda: self.now,
        )
        self.work = store.connect("worker")
        self.gate = Gate(
            url=store.urls["gate"], signer=Signer(kit.GATE_KEY, {}), now=lambda: self.now
        )
        self.released = store.connect("gate")
        self.ingest = store.connect("ingest")
        self.writer = Writer(store.keystore)
        self.seq = 0
        self.counter = 10_000
        store.gateway()

    def meter(self, name="M1"):
        self.store.meter(name)
        self.up(self.kit.telegram(0, meter=name))

    def up(self, telegram):
        """One telegram through ingest."""
        payload = encode_batch("gw1", 1, self.seq, [telegram])
        self.seq += 1
        work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", payload)], 10)
        stored = self.writer.store(self.ingest, work, now_ms=0)
        assert stored.held == 0

    def step(self, **passed):
        """One round of the worker after some time; what it sent."""
        self.now += timedelta(**passed)
        self.sent.clear()
        self.gate.step(self.released)
        self.worker.step(self.work)
        return [decode_down(payload) for _, payload in self.sent]

    def ask(self, kind=CommandKind.RELAY_OFF, *, key="k", meter="M1", life=HOUR):
        request = NewCommand(meter, kind, self.now + life, key, "test")
        return self.store.ask(create_command(1, request, self.now))

    def opened(self, down, name="M1"):
        return unseal(self.kit.KEY, name, down.payload)

    def answer(self, down, *, status=ResultStatus.OK, relay=RelayState.DISCONNECTED, name="M1"):
        self.counter += 1
        body = encode_result(CommandResult(down.command, status, relay, 0))
        sealed = seal(self.kit.KEY, name, SealedKind.RESULT, self.counter, body)
        self.up(Telegram(TelegramKind.METER, "mesh", name, "", 0, sealed))

    def report(self, down, status):
        body = encode_report(DeliveryReport(down.command, status))
        self.up(Telegram(TelegramKind.DELIVERY, "gateway", "", "", 0, body))

    def state(self):
        return self.store.value("select state from ohmesh.command order by created_at limit 1")


@pytest.fixture
def field(store, kit):
    made = Field(store, kit)
    made.meter()
    return made


def test_a_command_is_sent_again_until_its_result_comes(field):
    made = field.ask()
    sends = [down for _ in range(5) for down in field.step(seconds=70)]
    assert len(sends) == 5
    assert {down.command for down in sends} == {made.id.bytes}
    counters = [field.opened(down).counter for down in sends]
    assert counters == sorted(set(counters)), "a counter of the seal is never used twice"
    commands = {decode_command(field.opened(down).body) for down in sends}
    assert len(commands) == 1, "always the same command"
    field.answer(sends[0])
    assert field.state() == "done"
    assert field.step(seconds=70) == []


def test_nothing_is_sent_before_its_time_to_try(field):
    field.ask()
    assert len(field.step()) == 1
    assert field.step(seconds=1) == []


def test_what_runs_out_while_the_store_takes_it_does_not_leave(field, monkeypatch):
    begin = sending.begin

    def slow(*given):
        attempt = yield from begin(*given)
        field.now += timedelta(minutes=1)
        return attempt

    field.ask(CommandKind.RELAY_ON, life=timedelta(seconds=30))
    monkeypatch.setattr(sending, "begin", slow)
    assert field.step() == []
    field.step()
    assert field.state() == "expired"


def test_a_relay_command_is_done_only_when_the_relay_is_read_back(field):
    field.ask()
    (down,) = field.step()
    field.answer(down, relay=RelayState.CONNECTED)
    assert field.state() == "failed"
    assert field.store.value("select relay from ohmesh.meter_status") == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (ResultStatus.REFUSED, "failed"),
        (ResultStatus.EXPIRED, "expired"),
        (ResultStatus.OK, "done"),
    ],
)
def test_what_the_meter_says_ends_the_command(field, status, state):
    field.ask()
    (down,) = field.step()
    field.answer(down, status=status)
    assert field.state() == state
    field.answer(down, status=ResultStatus.OK)
    assert field.state() == state, "a second result changes nothing"


def test_the_gateway_says_delivered_and_the_head_end_goes_on_asking(field):
    field.ask()
    (down,) = field.step()
    field.report(down, DeliveryStatus.DELIVERED)
    assert field.state() == "in_field"
    assert len(field.step(seconds=70)) == 1
    field.report(down, DeliveryStatus.NO_ROUTE)
    assert field.state() == "sent"
    assert "no_route" in field.store.value("select detail from ohmesh.command")


def test_a_command_without_a_result_expires_at_its_deadline(field):
    field.ask(life=timedelta(minutes=2))
    field.step()
    assert field.step(seconds=119)
    assert field.step(seconds=2) == [], "past the deadline nothing is sent"
    assert field.state() == "sent", "a result may still be on its way"
    field.step(seconds=30)
    assert field.state() == "expired"


def test_a_late_result_still_tells_the_relay(field):
    field.ask(life=timedelta(minutes=2))
    (down,) = field.step()
    field.step(minutes=3)
    field.answer(down)
    assert field.state() == "expired"
    assert field.store.value("select relay from ohmesh.meter_status") == 0


def test_an_older_result_does_not_undo_a_newer_relay_state(field):
    field.ask()
    (down,) = field.step()
    field.counter = 20_000
    field.answer(down, relay=RelayState.DISCONNECTED)
    field.counter = 15_000
    field.answer(down, relay=RelayState.CONNECTED)
    assert field.store.value("select relay from ohmesh.meter_status") == 0


def test_nobody_else_can_end_a_command(field):
    """Another meter's result for this command, under that meter's own good seal."""
    field.meter("M2")
    field.ask()
    (down,) = field.step()
    field.answer(down, name="M2")
    assert field.state() == "sent"


def test_reconnections_go_first_and_one_command_a_meter(field):
    for number in range(2, 8):
        field.meter(f"M{number}")
    for number in range(1, 8):
        field.ask(CommandKind.READ_NOW, key=f"r{number}", meter=f"M{number}")
    field.ask(CommandKind.RELAY_ON, key="on", meter="M5")
    downs = field.step()
    kinds = [decode_command(field.opened(d, d.meter).body).kind for d in downs]
    assert kinds[0] is CommandKind.RELAY_ON
    assert len({d.meter for d in downs}) == len(downs) == 7


def test_two_workers_send_a_command_once(field):
    """Both look before either sends: the lease of the first keeps the second away."""
    from headend.commands import sending  # noqa: PLC0415 - the race is made by hand here

    field.ask(CommandKind.READ_NOW)
    second = field.store.connect("worker")
    leased = field.worker._ask(field.work, sending.look(field.now))
    assert len(leased) == 1
    assert field.worker._ask(second, sending.look(field.now)) == []
    field.now += sending.LEASE
    again = field.worker._ask(second, sending.look(field.now))
    for one in (*leased, *again):  # the first was slow: its lease is over, and both send
        field.worker._send(field.work, one)
    assert len(field.sent) == 1
    assert field.store.value("select attempts from ohmesh.command") == 1


def test_a_repeated_request_gives_the_first_command(field):
    first, again = field.ask(), field.ask()
    assert first.id == again.id
    assert (first.replayed, again.replayed) == (False, True)
    with pytest.raises(Conflict):
        field.ask(CommandKind.RELAY_ON)
    field.meter("M2")
    with pytest.raises(Conflict):
        field.ask(meter="M2")
    assert field.store.value("select count(*) from ohmesh.command") == 1


def test_only_what_was_not_sent_can_be_cancelled(field):
    first = field.ask(key="a")
    done = field.store.ask(cancel_command(1, first.id, field.now))
    assert done.state == "cancelled"
    second = field.ask(key="b")
    field.step()
    with pytest.raises(CommandError) as refused:
        field.store.ask(cancel_command(1, second.id, field.now))
    assert refused.value.code == "bad_transition"


def test_sequence_numbers_rise_per_meter(field):
    field.meter("M2")
    made = [field.ask(key=str(n), meter=f"M{1 + n % 2}") for n in range(6)]
    first = counter_floor(field.now)
    assert [c.sequence - first for c in made] == [0, 0, 1, 1, 2, 2]


def test_a_command_s_number_is_above_those_that_a_restore_forgot(field):
    before = field.ask(key="before")
    field.store.as_admin_all("delete from ohmesh.command")
    field.now += COUNTER_STEP
    assert field.ask(key="after").sequence > before.sequence
