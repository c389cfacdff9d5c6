"""Sentences of the API on pages: translated with what stands in their places, or as they came."""

from __future__ import annotations

import pytest

from headend.web.sentences import SENTENCES, said
from headend.web.speech import catalogue

PLACES = {
    place: f"'{place}' (100%)\n%(x)s"
    for place in (
        *("name", "permission", "seconds", "meter", "year", "least", "most", "text", "currency"),
        *("why", "alarm", "status"),
    )
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_keeps_what_stands_in_its_places(sentence):
    english = sentence % PLACES
    assert said(english, catalogue("en")) == english
    korean = said(english, catalogue("ko"))
    assert korean != english
    for place, value in PLACES.items():
        assert (value in korean) == (f"%({place})s" in sentence)


@pytest.mark.parametrize(
    "text", ["", "no", "no such address at all", "%(name)s", "%", "알 수 없음"]
)
def test_what_is_not_known_stays_as_it_is(text):
    assert said(text, catalogue("ko")) == text
