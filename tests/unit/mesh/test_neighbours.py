"""Neighbour rows, children, and the memory of commands."""

from ohmesh.mesh.commands import Inbox, next_index
from ohmesh.mesh.constants import RECEIVED_MAX
from ohmesh.mesh.frames import DownHead, Tag
from ohmesh.mesh.neighbours import Children, Neighbour, NeighbourTable


def tag(rank):
    return Tag(1, 9, 0, rank, 1, 3, 0)


def test_a_neighbour_that_was_off_is_not_called_a_poor_link_for_it():
    row = Neighbour(7, 0, -80)
    for _ in range(10):
        row.succeed(0, 1)
    assert row.etx_128ths == 128
    for _ in range(50):
        row.fail(0, 8)
    while_off = row.etx_128ths
    row.succeed(1000, 1)
    assert while_off < 512
    assert row.etx_128ths == 132  # the first guess of a strong link, and one good sample
    assert row.failures == 0


def test_a_link_judged_in_a_storm_recovers_in_a_few_samples():
    row = Neighbour(7, 0, -80)
    for _ in range(10):
        row.succeed(0, 8)
    assert row.etx_128ths > 3 * 128 * 2
    row.succeed(0, 1)
    assert row.is_young
    for _ in range(11):
        row.succeed(0, 1)
    assert row.etx_128ths < 2 * 128


def test_a_link_not_tried_for_long_is_hoped_to_be_what_its_strength_says():
    row = Neighbour(7, 0, -80)
    row.learn(0, tag(300))
    for _ in range(10):
        row.succeed(50, 8)
    assert row.hope(50) == 300 + row.etx_128ths
    assert row.hope(51) < 300 + 2 * 128 < row.cost


def test_one_failure_is_loss_and_counts():
    row = Neighbour(7, 0, -80)
    for _ in range(10):
        row.succeed(0, 1)
    row.fail(0, 8)
    row.succeed(0, 1)
    assert 230 < row.etx_128ths < 260


def test_denial_doubles_and_ends_with_an_answer():
    row = Neighbour(7, 0, -80)
    for expected in (60, 120, 240, 480, 600, 600):
        row.deny(0, first_ms=60, max_ms=600)
        assert row.deny_until_ms == expected
    assert row.is_denied(599)
    assert not row.is_denied(600)
    row.succeed(10, 1)
    assert not row.is_denied(11)
    row.deny(0, first_ms=60, max_ms=600)
    assert row.deny_until_ms == 60


def test_full_table_evicts_the_worst_that_is_no_parent():
    table = NeighbourTable(2, pinned=lambda node: node == 2)
    for node, rank in ((1, 500), (2, 900)):
        table.admit(node, 0, -80, rank).learn(0, tag(rank))
    assert table.admit(3, 0, -80, 600) is None  # no better than the worst that may go
    assert table.admit(4, 0, -80, 300) is not None
    assert sorted(row.id for row in table) == [2, 4]
    assert table.admit(2, 5, -80, 65535).heard_ms == 5


def test_silent_rows_expire_but_parents_stay():
    table = NeighbourTable(4, pinned=lambda node: node == 2)
    for node in (1, 2, 3):
        table.admit(node, 0, -80, 300)
    table.admit(3, 900, -80, 300)
    table.expire(1000, 500)
    assert sorted(row.id for row in table) == [2, 3]


def test_children_are_bounded_and_make_room_by_age():
    children = Children(2)
    assert children.note(1, 0, 100)
    assert children.note(2, 50, 100)
    assert not children.note(3, 60, 100)
    assert children.note(1, 60, 100)
    assert children.note(3, 155, 100)  # 2 is over its time by now
    assert (children.has(1, 155), children.has(2, 155), children.has(3, 155)) == (True, False, True)
    children.drop(1)
    assert not children.has(1, 155)


def head(dseq, index=0, origin=1):
    return DownHead(origin, dseq, 60, 0, index, (10, 11))


def test_a_command_is_handed_on_once():
    inbox = Inbox()
    assert inbox.is_new(head(5))
    assert not inbox.is_new(head(5))
    assert inbox.is_new(head(5, origin=2))
    for dseq in range(100, 100 + RECEIVED_MAX):
        assert inbox.is_new(head(dseq))
    assert inbox.is_new(head(5))  # forgotten by now, the bound is kept


def test_source_route_steps():
    assert next_index(head(1, index=0), 10) == 1
    assert next_index(head(1, index=1), 11) == 2
    assert next_index(head(1, index=0), 11) is None
