"""The walk of docs/api.md works as it is written there."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from api_site import OURS, TOKEN, client_of, running

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


def calls() -> list[list[str]]:
    """The curl lines of the page's shell block, as words."""
    block = re.search(r"```sh\n(.*?)```", TEXT, re.DOTALL).group(1).replace("\\\n", " ")
    block = block.replace("$TOKEN", TOKEN).replace("$H/", "http://127.0.0.1/")
    lines = [shlex.split(line) for line in block.splitlines() if line.startswith("curl")]
    return [words for words in lines if not any(word.endswith("/stream") for word in words)]


async def test_the_walk_works(app):
    assert len(calls()) >= 9
    async with client_of(app, None) as client:
        for words in calls():
            url = next(word for word in words if word.startswith("http://"))
            headers = dict(
                words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H"
            )
            headers.setdefault("Authorization", f"Bearer {TOKEN}")
            body = words[words.index("-d") + 1] if "-d" in words else None
            verb = "POST" if body else "GET"
            if "-X" in words:
                verb = words[words.index("-X") + 1]
            answer = await client.request(verb, url, headers=headers, content=body)
            assert answer.status_code in {200, 201, 202}, (words, answer.text)
        account = (
            await client.get("/v1/accounts/W-1", headers={"Authorization": f"Bearer {TOKEN}"})
        ).json()
        assert account["balance_mu"] == 2_000_000 - 285_000  # the payment, and the token


PAGES = ("/", "/mesh", "/reads", "/accounts", "/gateways", "/quarantine", "/people", "/audit")


async def shown(client, page: str) -> list[list[str]]:
    """The reads that a page shows as API calls, as words."""
    text = (await client.get(page, headers={"accept": "text/html"})).text
    codes = [html.unescape(code) for code in re.findall(r"<code>(curl .*?)</code>", text)]
    found = [shlex.split(code.replace("$(cat api-token)", TOKEN)) for code in codes]
    return [words for words in found if not {"-d", "-X"} & set(words)]


@pytest.mark.parametrize("open_to", [None, OURS], ids=["closed", "open"])
async def test_the_calls_that_pages_show_work_as_shown(site, open_to):
    told = {}
    async with (
        running(site, open_reads_tenant=open_to) as app,
        client_of(app) as reader,
        client_of(app, None) as nobody,
    ):
        for page in PAGES:
            for words in await shown(reader, page):
                url = next(word for word in words if word.startswith("http://"))
                headers = dict([words[words.index("-H") + 1].split(": ")] if "-H" in words else [])
                told[url] = (await nobody.get(url, headers=headers)).status_code
    assert len(told) > len(PAGES)
    assert set(told.values()) == {200}, told
