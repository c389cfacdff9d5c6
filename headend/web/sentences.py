"""What the API and the store say in English sentences, in the language of a page.

A problem's `detail` and a command's outcome are written once, where they arise, in English. Here
stand those that people meet on pages, with places for what differs; any other is shown as it came.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from headend.web.speech import mark

if TYPE_CHECKING:
    from gettext import NullTranslations

SENTENCES: Final = (
    mark("no such address"),
    mark("no meter %(name)s"),
    mark("no account %(name)s"),
    mark("no alarm %(name)s"),
    mark("no exception %(name)s"),
    mark("no problem %(name)s"),
    mark("there is no account %(name)s"),
    mark("there is no approval %(name)s"),
    mark("this needs the permission %(permission)s"),
    mark("a write by cookie must come from a page of this server"),
    mark("call this server by the loopback address it listens on"),
    mark("no valid token"),
    mark("the token is not known"),
    mark("try again in %(seconds)s s"),
    mark("write %(meter)s to confirm"),
    mark("not the id of a meter"),
    mark("the year must be %(year)s or later"),
    mark("must be degrees from %(least)s to %(most)s, such as 52.09"),
    mark("%(text)s is not an amount of %(currency)s; write for example 20"),
    mark("the meter %(meter)s has no key: it takes no commands"),
    mark("the supply of %(meter)s is held off (%(why)s); release the hold first"),
    mark("who asked cannot approve; a second person must"),
    mark("it is decided already, or too old"),
    mark("the alarm %(alarm)s is closed"),
    mark("another request has just used this key or name"),
    mark("the database gave up after 10 s"),
    mark("no answer now"),
    mark("the server has failed"),
    mark("the meter says ok"),
    mark("the meter says %(status)s"),
    mark("no result before the deadline"),
    mark("superseded by a newer decision"),
    mark("cancelled"),
)
_PLACE: Final = re.compile(r"%\\\((\w+)\\\)s")


def said(text: str, texts: NullTranslations) -> str:
    """A sentence in a language; one that is not known here as it is."""
    for sentence in SENTENCES:
        if found := _pattern(sentence).fullmatch(text):
            return texts.gettext(sentence) % found.groupdict()
    return text


@cache
def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(_PLACE.sub(r"(?P<\1>.+)", re.escape(sentence)), re.DOTALL)
