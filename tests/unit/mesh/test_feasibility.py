"""Babel's condition as a table, and the neighbour's memory it leans on."""

import pytest

from ohmesh.mesh.constants import INFINITE_RANK
from ohmesh.mesh.feasibility import Feasibility
from ohmesh.mesh.frames import GENERATION_SHIFT, Tag
from ohmesh.mesh.neighbours import Neighbour


def tag(root=1, epoch=100, seq=5, rank=200, generation=0):
    return Tag(root, epoch, seq, rank, 1, generation << GENERATION_SHIFT, 0)


def standing(distance=300):
    feasibility = Feasibility()
    feasibility.adopt(1, (100, 5))
    feasibility.advertise(1, distance)
    return feasibility


@pytest.mark.parametrize(
    ("heard", "best", "feasible"),
    [
        (tag(rank=299), 299, True),
        (tag(rank=300), 300, False),  # equal: it may be our own child's reflection
        (tag(rank=301), 301, False),
        (tag(rank=500), 299, True),  # drifted up, but its own FD is at most 299
        (tag(seq=6, rank=9999), 9999, True),
        (tag(epoch=101, seq=0, rank=9999), 9999, True),
        (tag(seq=4, rank=128), 128, False),
        (tag(epoch=99, seq=60000, rank=128), 128, False),
        (tag(root=2, rank=9999), 9999, True),  # a root we never advertised
    ],
)
def test_condition(heard, best, feasible):
    assert standing().is_feasible(heard, best) is feasible


def test_distance_only_falls():
    feasibility = standing(300)
    feasibility.advertise(1, 900)
    assert not feasibility.is_feasible(tag(rank=300), 300)
    feasibility.advertise(1, 250)
    assert not feasibility.is_feasible(tag(rank=250), 250)
    assert feasibility.is_feasible(tag(rank=249), 249)


def test_newer_version_starts_a_new_distance_and_an_older_never_comes_back():
    feasibility = standing(300)
    feasibility.adopt(1, (100, 6))
    assert feasibility.is_feasible(tag(seq=6, rank=5000), 5000)
    feasibility.adopt(1, (100, 5))
    assert feasibility.version(1) == (100, 6)


def test_distances_of_two_roots_are_apart():
    feasibility = standing(300)
    feasibility.adopt(2, (50, 0))
    feasibility.advertise(2, 1000)
    assert feasibility.is_feasible(tag(root=2, epoch=50, seq=0, rank=999), 999)
    assert not feasibility.is_feasible(tag(rank=300), 300)


def test_bounded_and_the_oldest_root_goes():
    feasibility = standing()
    for root in range(2, 7):
        feasibility.adopt(root, (1, 0))
    assert len(feasibility) == 4
    assert feasibility.version(1) is None
    feasibility.adopt(3, (2, 0))
    feasibility.restart(7, (1, 0))
    assert [root for root in range(2, 8) if feasibility.version(root)] == [3, 5, 6, 7]


def test_best_rank_follows_the_neighbours_memory():
    row = Neighbour(9, 0, -80)
    for rank, best in [(400, 400), (350, 350), (900, 350)]:
        row.learn(0, tag(rank=rank))
        assert row.best_rank == best
    row.learn(0, tag(rank=950, generation=1))  # it forgot its distance
    assert row.best_rank == 950
    row.learn(0, tag(rank=INFINITE_RANK, generation=1))  # poison
    row.learn(0, tag(rank=960, generation=1))
    assert row.best_rank == 960
    row.learn(0, tag(rank=1000, seq=6, generation=1))
    assert row.best_rank == 1000
    row.learn(0, tag(root=2, rank=1100, seq=6, generation=1))
    assert row.best_rank == 1100
