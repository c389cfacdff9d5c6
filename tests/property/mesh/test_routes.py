"""What a table remembers of nodes without a way never changes what it answers."""

from hypothesis import given
from hypothesis import strategies as st

from ohmesh.mesh.frames import Reg, UpHead
from ohmesh.mesh.routes import RouteTable

ROOT = 1
NODES = st.integers(2, 4)
PARENTS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from((128, 300))), max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), NODES, PARENTS),
        st.tuples(st.just("forget"), NODES, st.none()),
        st.tuples(st.just("ban"), NODES, st.integers(1, 4)),
        st.tuples(st.just("allow"), NODES, st.integers(1, 4)),
        st.tuples(st.just("wait"), st.integers(1, 5), st.none()),
    ),
    min_size=10,
    max_size=60,
)


def take(routes, now_ms, step, number):
    """Carry one step out. Returns: the time after it."""
    what, node, more = step
    if what == "register":
        head = UpHead(node, number, ROOT, 256, 64, 0, 0)
        routes.register(now_ms, Reg(head, 7, 1, 1, tuple(more)))
    elif what == "forget":
        routes.forget(node)
    elif what == "ban":
        routes.ban(now_ms, near=more, far=node, until_ms=now_ms + 40)
    elif what == "allow":
        routes.allow(near=more, far=node)
    elif what == "wait":
        routes.expire(now_ms + 20 * node)
        return now_ms + 20 * node
    return now_ms


@given(STEPS)
def test_every_answer_is_that_of_a_table_that_remembers_nothing(steps):
    routes, now_ms = RouteTable(ROOT), 0
    for number, step in enumerate(steps):
        now_ms = take(routes, now_ms, step, number)
        for node in range(2, 5):
            fresh = RouteTable(ROOT)
            fresh._rows, fresh._banned = routes._rows, routes._banned
            assert routes.path(now_ms, node) == fresh.path(now_ms, node)
