"""What goes into one transaction: as much as waits, and a little more only where there is room."""

from headend.ingest.loop import Ingest
from headend.ingest.work import sort
from headend.ingest.writer import Stored
from headend.mqtt import Delivery
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import encode_batch


def batch(first, count):
    rows = [Telegram(TelegramKind.METER, "t", Address("M1"), "", 0, b"x")] * count
    return Delivery("ohmesh/v1/gw/gw1/up", encode_batch("gw1", 1, first, rows))


class Port:
    """Hands out what lies ready, one list a call; keeps what comes back."""

    def __init__(self, *ready):
        self.ready, self.returned, self.finished = list(ready), [], []

    def fetch(self, limit, **_):
        return self.ready.pop(0)[:limit] if self.ready else []

    def again(self, deliveries):
        self.returned += deliveries

    def done(self, deliveries):
        self.finished += deliveries


class Keeper:
    """A writer that keeps what it was given."""

    def __init__(self):
        self.works = []

    def store(self, _connection, work, **_):
        self.works.append(work)
        return Stored([])


def taken(port):
    keeper = Keeper()
    ingest = Ingest(
        url="",
        source=port,
        writer=keeper,
        publish=lambda _topic, _payload: True,
        batch_messages=4,
        batch_telegrams=10,
        batch_wait_ms=1,
    )
    ingest._take(None, port.fetch(4))
    return [b.first_seq for work in keeper.works for b in work.batches]


def test_a_full_transaction_waits_for_nobody():
    port = Port([batch(0, 5), batch(5, 5)], [batch(10, 5)])
    assert taken(port) == [0, 5]
    assert port.ready  # nobody asked for more


def test_a_small_transaction_takes_what_comes_meanwhile_and_no_more_than_fits():
    late = [batch(n, 5) for n in (5, 10, 15)]
    port = Port([batch(0, 5)], list(late))
    assert taken(port) == [0, 5]
    assert port.returned == late[1:]
    assert len(port.finished) == 2


def test_messages_have_an_end_too():
    port = Port([batch(n, 1) for n in range(3)], [batch(n, 1) for n in range(3, 6)])
    assert taken(port) == [0, 1, 2, 3]


def test_sorting_in_two_goes_is_sorting_in_one():
    deliveries = [batch(n, 3) for n in range(0, 9, 3)]
    whole, used = sort(deliveries, 100)
    part, first = sort(deliveries[:1], 100)
    part, rest = sort(deliveries[1:], 100, part)
    assert (part, first + rest) == (whole, used)
    assert whole.telegrams == 9
