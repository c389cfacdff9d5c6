"""Writes that share a transaction: each has its own answer, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import uuid
from itertools import pairwise

import pytest
from api_site import client_of, running

from headend.store import db


@pytest.fixture
async def shop(own_site):
    """A client, and a superuser's connection."""
    async with running(own_site) as app, client_of(app) as client:
        with db.connect(own_site.admin_url, name="test", autocommit=True) as admin:
            yield client, admin


async def contracts(api, count: int) -> list[str]:
    made = [f"T-{uuid.uuid4().hex[:10]}" for _ in range(count)]
    for name in made:
        meter = {"meter": name, "profile": "nl_dsmr", "key_hex": "00" * 16}
        assert (await api.post("/v1/meters", json=meter)).status_code == 201
        body = {"account": name, "meter": name, "tariff": "flat"}
        assert (await api.post("/v1/accounts", json=body)).status_code == 201
    return made


async def pay(api, contract: str, amount_mu: int, key: str | None = None):
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    path = f"/v1/contracts/{contract}/topups"
    return await api.post(path, json={"amount_mu": amount_mu}, headers=headers)


def wallets(admin, names: list[str]) -> dict[str, int]:
    rows = admin.execute(
        "select a.name, b.credits_mu - b.debits_mu as mu from ohmesh.account a"
        " join ohmesh.account_balance b on b.account_id = a.id and b.book = 'wallet'"
        " where a.name = any (%s)",
        (names,),
    )
    return {row["name"]: int(row["mu"]) for row in rows}


async def test_payments_at_the_same_time_share_commits_and_each_has_its_own_answer(shop):
    api, admin = shop
    names = await contracts(api, 12)
    taken = str(uuid.uuid4())
    assert (await pay(api, names[0], 5, taken)).status_code == 201
    wishes = [(name, 100 + n, None) for n, name in enumerate(names)] * 4
    wishes += [("nobody-at-all", 7, None), (names[1], 6, taken), (names[0], 5, taken)]
    answers = await asyncio.gather(*(pay(api, *wish) for wish in wishes))
    codes = [answer.status_code for answer in answers]
    # Of an unknown contract without a currency nothing is kept; a foreign key is refused.
    assert codes == [201] * 48 + [404, 409, 200]
    assert wallets(admin, names) == {n: 4 * (100 + i) + 5 * (i == 0) for i, n in enumerate(names)}
    seen = sorted(a.json()["balance_mu"] for a in answers[:48] if a.json()["contract"] == names[3])
    assert seen == [103, 206, 309, 412]  # each knows the wallet right after itself
    commits = admin.execute(
        "select count(distinct xmin::text) as n, count(*) as all from ohmesh.payment"
        " where account = any (%s)",
        (names,),
    ).fetchone()
    assert commits["all"] == 49
    assert commits["n"] < 30
    entries = admin.execute("select prev, hash from ohmesh.audit_log order by seq").fetchall()
    assert all(entry["prev"] == before["hash"] for before, entry in pairwise(entries))


async def test_a_contract_that_somebody_holds_keeps_nobody_else_waiting(shop, own_site):
    api, admin = shop
    held, *others = await contracts(api, 5)
    with db.connect(own_site.admin_url, name="test") as other:
        other.execute(
            "select 1 from ohmesh.supply s join ohmesh.account a on a.id = s.account_id"
            " where a.name = %s for update of s",
            (held,),
        )
        waits = asyncio.create_task(pay(api, held, 9))
        answers = await asyncio.gather(*(pay(api, name, 10) for name in others))
        assert [answer.status_code for answer in answers] == [201] * 4
        assert not waits.done()
        other.rollback()
        assert (await waits).status_code == 201
    assert wallets(admin, [held, *others]) == dict.fromkeys(others, 10) | {held: 9}


async def test_a_group_whose_connection_breaks_has_no_effect_and_may_be_sent_again(shop):
    api, admin = shop
    names = await contracts(api, 6)
    keys = {name: str(uuid.uuid4()) for name in names}
    admin.execute(
        "create function break_it() returns trigger language plpgsql security definer as $$ begin"
        " perform pg_terminate_backend(pg_backend_pid()); return new; end $$"
    )
    admin.execute(
        "create trigger break_it before insert on ohmesh.payment for each row"
        " execute function break_it()"
    )
    answers = await asyncio.gather(*(pay(api, name, 11, keys[name]) for name in names))
    admin.execute("drop trigger break_it on ohmesh.payment")
    assert {answer.status_code for answer in answers} == {503}
    assert wallets(admin, names) == {}
    answers = await asyncio.gather(*(pay(api, name, 11, keys[name]) for name in names * 2))
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [201] * 6
    assert wallets(admin, names) == dict.fromkeys(names, 11)


async def test_reads_go_on_after_many_refused_writes(shop):
    """A rollback lets go of what the connection had prepared, on the server too."""
    api, _ = shop
    (name,) = await contracts(api, 1)
    for number in range(40):
        refused = await api.post(
            f"/v1/meters/{name}/tokens",
            json={"units": 1},
            headers={"Idempotency-Key": f"refused-{number}"},
        )
        assert refused.status_code == 404
        assert (await api.get(f"/v1/meters/{name}")).status_code == 200
        assert (await api.get("/v1/meters?page_size=2")).status_code == 200
