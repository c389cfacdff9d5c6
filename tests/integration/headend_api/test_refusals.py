"""What a page refuses is said in the reader's language."""

from __future__ import annotations

import re
import uuid

import pytest

SAID = re.compile(r'role="alert">([^<]+)<|</h1>\s*<p>([^<]+)</p>')
HANGUL = re.compile(r"[가-힣]")
NOWHERE = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/nowhere", None),
        ("/meters/M9999", None),
        ("/meters/M0001?day=0001-01-01", None),
        ("/accounts/A-9", None),
        ("/problems/none", None),
        ("/accounts/A-1", {"amount": "much"}),
        ("/meters/M0001/commands", {"kind": "relay_off", "confirm": "M0002"}),
        ("/meters/M9999/commands", {"kind": "relay_read"}),
        ("/map", {"latitude": "91", "longitude": "4"}),
        ("/outages/999999", {"deed": "close"}),
        ("/vee/999999", {"kind": "accept"}),
        (f"/approvals/{NOWHERE}", {"decision": "approve"}),
    ],
)
async def test_a_refusal_speaks_the_language_of_its_page(api, path, form):
    told = {}
    for language in ("en", "ko"):
        headers = {"accept": "text/html", "accept-language": language}
        answer = await (
            api.get(path, headers=headers)
            if form is None
            else api.post(path, data=form, headers=headers)
        )
        assert answer.headers["content-type"].startswith("text/html"), answer.text
        told[language] = next(filter(None, SAID.search(answer.text).groups()))
    assert not HANGUL.search(told["en"])
    assert HANGUL.search(told["ko"]), told
