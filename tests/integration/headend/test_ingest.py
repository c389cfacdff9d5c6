"""Ingest against a real database and a real broker: exact counts decide."""

from __future__ import annotations


def test_a_batch_becomes_rows_and_an_acknowledgement(store, shared_broker, kit):
    store.gateway("gwa")
    store.meter()
    with (
        kit.running_ingest(store, shared_broker.url),
        kit.GatewaySide(shared_broker.url, "gwa") as gateway,
    ):
        gateway.send(0, [kit.telegram(n) for n in range(10)])
        gateway.wait_ack(10)
    assert store.counts() == {"readings": 10, "telegrams": 10, "held": 0}
