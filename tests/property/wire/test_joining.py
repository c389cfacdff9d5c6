"""Join messages: only the meter's own key opens them, only for the request they answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmesh.model.errors import ConfigError
from ohmesh.wire.joining import Doorkeeper, JoinCipher, MeterApplicant, join_key
from ohmesh.wire.meshkeys import MeshKeys, read_mesh_keys, write_mesh_keys

KEY = st.binary(min_size=16, max_size=16)
NODE = st.integers(1, 2**32 - 2)
NET = st.integers(0, 0xFFFF)
LIVE = st.dictionaries(st.integers(0, 255), KEY, min_size=1, max_size=6)
NONCE = st.binary(min_size=8, max_size=8)


@given(KEY, NET, NODE, NONCE, LIVE)
def test_a_member_gets_the_keys(key, net, node, nonce, live):
    applicant = MeterApplicant(JoinCipher(join_key(key), net=net, node=node), lambda _: nonce)
    door = Doorkeeper(net, {node: join_key(key)}, live)
    request = applicant.ask()
    answer = door.answer(node, request)
    assert applicant.open(answer) == live
    assert len(answer) <= 120
    assert door.answer(node, request) is None, "once"


@given(KEY, KEY, NET, NODE, NONCE, LIVE)
def test_another_key_another_network_another_meter_get_nothing(key, other, net, node, nonce, live):
    door = Doorkeeper(net, {node: join_key(key)}, live)
    wrong = [JoinCipher(join_key(key), net=net ^ 1, node=node)]
    wrong += [JoinCipher(join_key(key), net=net, node=node ^ 1)]
    wrong += [JoinCipher(join_key(other), net=net, node=node)] * (other != key)
    assert [door.answer(node, one.request(nonce)) for one in wrong] == [None] * len(wrong)
    assert (
        door.answer(node ^ 1, JoinCipher(join_key(key), net=net, node=node).request(nonce)) is None
    )


@given(KEY, NODE, NONCE, NONCE, LIVE)
def test_an_answer_is_for_one_request(key, node, nonce, later, live):
    cipher = JoinCipher(join_key(key), net=1, node=node)
    answer = cipher.accept(nonce, live)
    assert cipher.open(nonce, answer) == live
    if later != nonce:
        assert cipher.open(later, answer) is None


@given(KEY, NODE, st.binary(max_size=130))
def test_any_octets_are_refused_quietly(key, node, octets):
    cipher = JoinCipher(key, net=1, node=node)
    assert cipher.open(bytes(8), octets) is None
    assert cipher.nonce_of(octets) is None
    assert MeterApplicant(cipher, bytes).open(octets) is None


def test_the_file_is_its_owners_and_comes_back(tmp_path):
    keys = MeshKeys(seal=1, keys={1: "00" * 16, 2: "11" * 16}, join_keys={7: "22" * 16})
    path = tmp_path / "keys.json"
    write_mesh_keys(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_mesh_keys(path) == keys
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_mesh_keys(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"seal": 2, "keys": {"1": "00" * 16}, "join_keys": {}}, "no key 2"),
        ({"seal": 1, "keys": {"1": "zz"}, "join_keys": {}}, "keys"),
        ({"seal": 1, "keys": {"1": "00" * 16}, "joinkeys": {}}, "joinkeys"),
        ("\x00", "keys"),
    ],
)
def test_a_wrong_file_is_told_without_its_keys(tmp_path, content, words):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=words) as told:
        read_mesh_keys(path)
    assert "00" * 16 not in str(told.value)
