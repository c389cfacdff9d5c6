"""Cursors and sessions: what this server sealed opens, nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.api.access import SESSION_S, Access, Principal
from headend.api.cursor import Cursors
from headend.api.problems import Problem

SECRET = b"0123456789abcdef"
_scopes = st.dictionaries(
    st.text(max_size=8), st.one_of(st.none(), st.text(max_size=8), st.integers(-9, 9)), max_size=4
)
_keys = st.tuples(st.integers(-(2**60), 2**60), st.integers(0, 2**31 - 1))
_names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)


@given(_scopes, _keys)
def test_a_cursor_opens_to_its_key(scope, key):
    cursors = Cursors(SECRET)
    text = cursors.seal(scope, key)
    assert cursors.open(scope, text, tuple[int, int]) == key
    assert text.replace("-", "").replace("_", "").isalnum()


@given(_scopes, _scopes, _keys)
def test_a_cursor_opens_for_its_list_only(scope, other, key):
    cursors = Cursors(SECRET)
    text = cursors.seal(scope, key)
    if scope != other:
        with pytest.raises(Problem):
            cursors.open(other, text, tuple[int, int])


@given(_scopes, _keys, st.data())
def test_a_cursor_that_was_touched_does_not_open(scope, key, data):
    cursors = Cursors(SECRET)
    text = cursors.seal(scope, key)
    at = data.draw(st.integers(0, len(text) - 2))
    sign = data.draw(st.sampled_from([c for c in "Aa0_-" if c != text[at]]))
    with pytest.raises(Problem):
        cursors.open(scope, text[:at] + sign + text[at + 1 :], tuple[int, int])


@given(st.text(max_size=600))
def test_any_text_is_a_cursor_or_a_problem(text):
    with pytest.raises(Problem):
        Cursors(SECRET).open({}, text, tuple[int, int])


@given(_keys)
def test_another_server_s_cursor_does_not_open(key):
    text = Cursors(SECRET).seal({}, key)
    with pytest.raises(Problem):
        Cursors(SECRET + b"x").open({}, text, tuple[int, int])


def access(*names: str) -> Access:
    tokens = {f"token-{name}": Principal(name, i + 1) for i, name in enumerate(names)}
    return Access(tokens, SECRET, None)


@given(st.lists(_names, min_size=1, max_size=5, unique=True), st.integers(0, 2**40))
def test_a_session_is_its_owner_s_until_it_ends(names, now_s):
    known = access(*names)
    for name in names:
        who = known.by_token(f"token-{name}")
        assert who is not None
        cookie = known.session(who, now_s)
        assert known.by_session(cookie, now_s) == who
        assert known.by_session(cookie, now_s + SESSION_S - 1) == who
        assert known.by_session(cookie, now_s + SESSION_S) is None


@given(st.text(max_size=80))
def test_any_text_is_no_session_and_no_token(text):
    known = access("operator")
    assert known.by_session(text, 0) is None
    assert known.by_token(text) is None


def test_a_session_of_somebody_who_is_gone_is_none():
    cookie = access("operator", "gone").session(Principal("gone", 2), 0)
    assert access("operator").by_session(cookie, 1) is None
