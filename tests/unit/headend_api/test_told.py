"""What a line of the audit log says of a request's body."""

from __future__ import annotations

import pytest

from headend.api.told import LENGTH_MAX, about


def test_it_names_things_amounts_and_choices_and_nothing_else():
    body = b'{"meter": "M1", "amount_mu": 5, "key_hex": "00ff", "reason": "x", "approved": false}'
    assert about(body) == "meter M1, amount_mu 5, approved False"


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b'"text"'])
def test_a_body_that_is_no_object_says_nothing(body):
    assert about(body) == ""


def test_hostile_values_are_inert_and_short():
    said = about(b'{"meter": "a\\u001b[2J\\u0000\\n", "kind": "' + b"x" * 9999 + b'"}')
    assert said.isprintable()
    assert len(said) <= LENGTH_MAX
    assert about(b'{"scopes": [[["x"]], {"y": 1}], "user": {"deep": {}}}').isprintable()
