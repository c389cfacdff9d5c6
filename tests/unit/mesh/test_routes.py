"""Registrations and source routes."""

from ohmesh.mesh import constants
from ohmesh.mesh.acks import AckWindow
from ohmesh.mesh.frames import Reg, UpHead
from ohmesh.mesh.routes import RouteTable

ROOT = 1


def reg(origin, *parents, fseq=1, life=7, floor=1, lifetime_s=100):
    head = UpHead(origin, fseq, ROOT, 256, 64, 0, 0)
    return Reg(head, life, lifetime_s, floor, tuple(parents))


def table(*regs):
    routes = RouteTable(ROOT)
    for one in regs:
        assert routes.register(0, one) is not None
    return routes


def test_cheapest_way_wins():
    routes = table(
        reg(10, (ROOT, 128)),
        reg(11, (ROOT, 400)),
        reg(12, (10, 300), (11, 128)),
        reg(13, (12, 128), (11, 128)),
    )
    assert routes.path(0, 10) == (10,)
    assert routes.path(0, 12) == (10, 12)
    assert routes.path(0, 13) == (11, 13)


def test_banned_link_is_left_out_for_its_time():
    routes = table(reg(10, (ROOT, 128)), reg(11, (ROOT, 400)), reg(12, (10, 128), (11, 128)))
    routes.ban(0, near=10, far=12, until_ms=60)
    assert routes.path(59, 12) == (11, 12)
    assert routes.path(60, 12) == (10, 12)
    routes.ban(100, near=10, far=12, until_ms=160)
    routes.allow(near=10, far=12)
    assert routes.path(120, 12) == (10, 12)


def test_cycles_and_unknown_parents_give_no_route():
    routes = table(reg(10, (11, 128)), reg(11, (10, 128)), reg(12, (99, 128)))
    assert [routes.path(0, node) for node in (10, 11, 12, 55)] == [None] * 4


def test_older_registration_is_refused_and_a_new_life_is_not():
    routes = table(reg(10, (ROOT, 128), fseq=50, floor=40))
    assert routes.register(0, reg(10, (99, 128), fseq=49)) is None
    assert routes.get(10).parents == ((ROOT, 128),)
    row = routes.register(0, reg(10, (ROOT, 256), fseq=3, life=8, floor=1))
    assert (row.window.high_water, row.fseq) == (0, 3)


def test_expiry():
    routes = table(reg(10, (ROOT, 128), lifetime_s=5), reg(11, (ROOT, 128), lifetime_s=9))
    assert routes.expire(5000) == [10]
    assert list(routes) == [11]


def test_a_route_longer_than_a_frame_can_carry_is_none():
    chain = [reg(10, (ROOT, 128))] + [reg(n, (n - 1, 128)) for n in range(11, 50)]
    routes = table(*chain)
    assert len(routes.path(0, 41)) == constants.MAX_SOURCE_HOPS
    assert routes.path(0, 42) is None


def test_bans_are_bounded():
    routes = table(reg(10, (ROOT, 128)))
    for far in range(5000):
        routes.ban(0, near=1, far=far, until_ms=10)
    assert len(routes._banned) <= constants.BANS_MAX


def test_entries_for_pages():
    routes = table(reg(10, (ROOT, 128)), reg(12, (99, 130)))
    first, second = routes.entries(1500)
    assert (first.node, first.parents, first.hops, first.age_ms) == (10, ((ROOT, 128),), 1, 1500)
    assert second.hops == 0


def test_ack_window():
    window = AckWindow(10)
    window.mark(12)
    window.mark(13)
    assert (window.high_water, window.bitmap, window.has_gap) == (10, 0b110, True)
    window.mark(11)
    assert (window.high_water, window.bits, window.has_gap) == (13, 0, False)
    window.mark(5)
    assert window.high_water == 13
    window.mark(20)
    window.raise_floor(20)  # the origin gave 14..19 up
    assert (window.high_water, window.bits) == (20, 0)
    window.mark(20 + 1 + constants.ROOT_WINDOW_BITS)
    assert window.bits == 0  # too far: left for a later copy


def test_a_row_is_written_when_its_parents_change_and_not_for_each_registration():
    routes = table(reg(10, (ROOT, 128), fseq=1))
    record = routes.changed(10)
    assert record is not None
    routes.register(0, reg(10, (ROOT, 160), fseq=2))
    assert routes.changed(10) is None
    routes.register(0, reg(10, (11, 160), (ROOT, 200), fseq=3))
    assert routes.changed(10) is not None
    fresh = RouteTable(ROOT)
    fresh.restore(0, 10, record)
    assert fresh.path(0, 10) == (10,)
    assert fresh.register(0, reg(10, (ROOT, 128), fseq=5, floor=9)).window.high_water == 8


def test_a_ban_hides_the_only_way_for_its_time_and_no_longer():
    routes = table(reg(10, (ROOT, 128)), reg(11, (10, 128)))
    routes.ban(0, near=ROOT, far=10, until_ms=60)
    assert [routes.path(at_ms, 11) for at_ms in (0, 59, 60)] == [None, None, (10, 11)]


def test_nobody_is_looked_for_twice_whose_parents_are_elsewhere():
    routes = table(reg(10, (11, 128)), reg(11, (12, 128), (13, 128)))
    assert routes.path(0, 10) is None
    routes._rows = Unread(routes._rows)
    assert [routes.path(0, node) for node in (10, 11, 12, 13)] == [None] * 4
    routes._rows = dict(routes._rows)
    routes.register(0, reg(13, (ROOT, 128), life=8))
    assert routes.path(0, 10) == (13, 11, 10)


class Unread(dict):
    """Rows that nobody may look at."""

    def get(self, node):
        raise AssertionError(node)
