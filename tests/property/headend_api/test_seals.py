"""Cursors: what this server sealed opens, nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.api.cursor import Cursors
from headend.api.problems import Problem

SECRET = b"0123456789abcdef"
_scopes = st.dictionaries(
    st.text(max_size=8), st.one_of(st.none(), st.text(max_size=8), st.integers(-9, 9)), max_size=4
)
_keys = st.tuples(st.integers(-(2**60), 2**60), st.integers(0, 2**31 - 1))


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
