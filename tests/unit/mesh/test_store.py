"""Own payloads: order, aggregation, acknowledgement."""

from ohmesh.mesh.frames import UpFlag
from ohmesh.mesh.store import Store


def filled(count, size=50, limit=100):
    store = Store(limit, next_oseq=1)
    for i in range(count):
        store.add(i * 1000, 0, bytes([i]) * size)
    return store


def oseqs(records):
    return [record.oseq for record in records]


def test_aggregates_what_fits():
    store = filled(10)
    records, _ = store.draw(10_000)
    assert oseqs(records) == [1, 2, 3]  # 3 * (50 + 5) <= 206
    assert records[0].age_s == 10
    assert oseqs(store.draw(10_000)[0]) == [4, 5, 6]


def test_the_largest_payload_goes_alone():
    store = filled(3, size=160)
    assert oseqs(store.draw(0)[0]) == [1]


def test_urgent_first_but_records_rise():
    store = filled(3)
    store.add(0, 2, b"urgent")
    records, priority = store.draw(3000)
    assert (oseqs(records), priority) == ([1, 2, 3, 4], 2)
    store = filled(5)
    store.add(0, 2, bytes(100))
    assert oseqs(store.draw(5000)[0]) == [1, 6]


def test_acknowledgement_frees_and_finds_gaps():
    store = filled(6)
    for _ in range(2):
        store.sent(10_000, oseqs(store.draw(9_000)[0]))
    assert store.acknowledge(2, 0b10) == [1, 2, 4]
    assert (len(store), store.floor) == (3, 3)
    # 3 is a gap below 4; 5 and 6 may still be on their way
    assert store.missing(2, 0b10, before_ms=-1, gap_ms=20_000) == [3]
    assert store.missing(2, 0b10, before_ms=-1, gap_ms=10_000) == []
    assert store.missing(2, 0b10, before_ms=20_000, gap_ms=0) == [3, 5, 6]
    store.unsent([3])
    records, flags = store.draw(30_000)
    assert (oseqs(records), flags) == ([3], UpFlag.ACK_WANTED)


def test_unsent_payloads_are_never_missing():
    store = filled(3)
    assert store.missing(0, 0b100, before_ms=10**9, gap_ms=10**9) == []


def test_overflow_gives_up_the_oldest():
    store = Store(2, next_oseq=1)
    assert store.add(0, 0, b"a") == (1, None)
    assert store.add(0, 0, b"b") == (2, None)
    assert store.add(0, 0, b"c") == (3, 1)
    assert oseqs(store.draw(0)[0]) == [2, 3]
    assert store.floor == 2


def test_ready_heap_is_bounded_by_the_store():
    store = Store(10, next_oseq=1)
    for i in range(1000):
        store.add(i, 0, b"x")
    assert len(store._ready) <= 2 * 10 + 64


def test_only_what_was_sent_can_come_back():
    store = filled(2)
    store.draw(2000)
    store.returned([1, 2])
    assert not store.has_ready  # they are on their way to the first parent
    store.sent(2000, [1])
    store.returned([1, 2, 3])
    records, flags = store.draw(3000)
    assert oseqs(records) == [1]
    assert flags & UpFlag.ACK_WANTED


def test_stale_ones_are_found():
    store = filled(4)
    store.sent(5_000, oseqs(store.draw(5_000)[0]))
    assert store.stale(6_000) == [1, 2, 3]
    assert store.stale(5_000) == []


def test_restored_payloads_keep_their_numbers():
    store = Store(10, next_oseq=4)
    store.restore(0, 7, 1, b"seven")
    assert store.add(0, 0, b"eight")[0] == 8
    assert store.floor == 7


def test_payloads_of_a_former_boot_wait_until_it_is_known_which_are_missing():
    store = Store(10, next_oseq=4)
    for oseq in (1, 2, 3):
        store.restore(0, oseq, 0, b"before")
    assert not store.has_ready
    store.add(0, 0, b"after")
    assert oseqs(store.draw(0)[0]) == [4]
    assert store.acknowledge(1, 0b10) == [1, 3]
    assert store.missing(1, 0b10, before_ms=-1, gap_ms=-1) == [2]
    assert store.stale(0) == [2]
