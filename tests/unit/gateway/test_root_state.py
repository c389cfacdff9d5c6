from __future__ import annotations

import pytest

from gateway.root_state import RootState


@pytest.fixture
def state_path(tmp_path):
    return tmp_path / "outbox.mesh"


def test_the_first_boot_knows_nothing(state_path):
    memory = RootState(state_path)
    assert (memory.blob, memory.routes) == (None, {})


def test_the_blob_is_there_at_once_and_routes_after_a_flush(state_path):
    memory = RootState(state_path)
    memory.keep(b"one")
    memory.keep(b"two")
    memory.keep_route(7, b"seven")
    memory.keep_route(8, b"eight")
    memory.forget_route(7)
    assert (RootState(state_path).blob, RootState(state_path).routes) == (b"two", {})
    memory.flush()
    assert RootState(state_path).routes == {8: b"eight"}


def test_a_flush_without_news_writes_nothing(state_path):
    memory = RootState(state_path)
    memory.keep_route(7, b"seven")
    memory.flush()
    routes = state_path.with_name("outbox.mesh-routes")
    routes.unlink()
    memory.keep_route(7, b"seven")
    memory.forget_route(9)
    memory.flush()
    assert not routes.exists()
    memory.forget_route(7)
    memory.flush()
    assert RootState(state_path).routes == {}


@pytest.mark.parametrize("octets", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1a\x01"])
def test_damaged_routes_cost_a_registration_and_no_start(state_path, octets):
    state_path.with_name("outbox.mesh-routes").write_bytes(octets)
    assert RootState(state_path).routes == {}


def test_a_blob_can_be_set_aside(state_path):
    state_path.write_bytes(b"torn")
    memory = RootState(state_path)
    assert memory.set_aside().read_bytes() == b"torn"
    assert memory.blob is None
    assert not state_path.exists()
