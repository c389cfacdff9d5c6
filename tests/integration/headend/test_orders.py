"""Any order, overlap and repetition of batches ends in the same store (real database)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from ohmesh.wire import topics
from ohmesh.wire.uplink import Again, encode_batch

ROWS = 24
spans = st.tuples(st.integers(0, ROWS - 1), st.integers(1, ROWS)).map(
    lambda span: (span[0], min(ROWS, span[0] + span[1]))
)
transactions = st.lists(st.lists(spans, min_size=1, max_size=4), min_size=1, max_size=6)


def contiguous(taken: set[int]) -> int:
    return next(n for n in range(ROWS + 1) if n not in taken)


def test_any_delivery_order_ends_in_the_same_store(store, kit):
    store.gateway()
    store.meter()
    connection = store.connect("ingest")
    writer = Writer(store.keystore)
    epochs = iter(range(1, 10**6))

    def message(epoch, span):
        rows = [kit.telegram(n, counter=epoch * 100 + n) for n in range(*span)]
        return Delivery(
            topics.gateway_topic("gw1", "up"), encode_batch("gw1", epoch, span[0], rows)
        )

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(transactions)
    def check(history):
        epoch, taken = next(epochs), set()
        for group in history:
            work, _ = sort([message(epoch, span) for span in group], 10**6)
            stored = writer.store(connection, work, now_ms=0)
            new = set().union(*(range(*span) for span in group)) - taken
            assert stored.telegrams == len(new)
            taken |= new
            assert stored.acks == [("gw1", epoch, contiguous(taken), Again.NOTHING)]
        archived = store.rows("select seq from bulk.telegram where epoch = %(e)s", e=epoch)
        assert sorted(row["seq"] for row in archived) == sorted(taken)

    check()
    assert store.value("select count(*) from bulk.reading") <= ROWS
    assert store.value("select count(*) from bulk.telegram_quarantine") == 0
