"""Duplicate cache: a copy is not a loop."""

from ohmesh.mesh.constants import DUPLICATE_HORIZON_MS, LOOP_MEMORY_MS
from ohmesh.mesh.duplicates import DuplicateCache, Verdict


def test_verdicts():
    cache = DuplicateCache(8)
    assert cache.look(0, 7, 1, 60) is Verdict.NEW
    cache.remember(0, 7, 1, 60)
    assert cache.look(5, 7, 1, 60) is Verdict.DUPLICATE  # lost acknowledgement
    assert cache.look(5, 7, 1, 61) is Verdict.DUPLICATE  # a shorter way, custody is ours
    assert cache.look(5, 7, 1, 59) is Verdict.LOOPED
    assert cache.look(5, 7, 2, 60) is Verdict.NEW
    assert cache.look(5, 8, 1, 60) is Verdict.NEW


def test_a_loop_is_settled_after_a_while():
    cache = DuplicateCache(8)
    cache.remember(1_000, 7, 1, 60)
    assert not cache.is_settled(1_000 + LOOP_MEMORY_MS - 1, 7, 1)
    assert cache.is_settled(1_000 + LOOP_MEMORY_MS, 7, 1)


def test_horizon():
    cache = DuplicateCache(8)
    cache.remember(0, 7, 1, 60)
    assert cache.look(DUPLICATE_HORIZON_MS, 7, 1, 60) is Verdict.DUPLICATE
    assert cache.look(DUPLICATE_HORIZON_MS + 1, 7, 1, 60) is Verdict.NEW


def test_bounded_and_forgetting():
    cache = DuplicateCache(3)
    for fseq in range(10):
        cache.remember(0, 7, fseq, 60)
    assert len(cache) == 3
    assert cache.look(0, 7, 9, 60) is Verdict.DUPLICATE
    cache.forget(7, 9)
    assert cache.look(0, 7, 9, 60) is Verdict.NEW


def test_what_is_over_its_time_takes_no_room():
    cache = DuplicateCache(100)
    for fseq in range(50):
        cache.remember(fseq, 7, fseq, 60)
    cache.remember(DUPLICATE_HORIZON_MS + 40, 8, 1, 60)
    assert len(cache) == 11
    assert cache.look(DUPLICATE_HORIZON_MS + 40, 7, 40, 60) is Verdict.DUPLICATE
