"""The attack everybody fears: no credential, nor the API's role, darkens more than the limit."""

from __future__ import annotations

import httpx
import pytest
from utility import Utility

from headend.api.app import create_app
from headend.gate.judging import books_of
from headend.gate.limits import ORDERS_MAX
from headend.security.roles import PERMISSIONS, SCOPES, Permission, Principal, Role
from headend.store import db

SECRET = bytes(range(16))
AREAS, HOMES_EACH = 8, 3
HOMES = AREAS * HOMES_EACH
CREDENTIALS = {
    **{f"role {role}": PERMISSIONS[role] for role in Role},
    **{f"key {scope}": frozenset({Permission.SELF, scope}) for scope in SCOPES},
    "key all": SCOPES,
}


@pytest.fixture
def utility(store, kit):
    """Areas so small that the limit of an area holds nobody: the limit of orders must."""
    found = Utility(store, kit)
    for area in range(AREAS):
        found.homes(HOMES_EACH, area=f"T{area}")
    return found


async def attack(client: httpx.AsyncClient, name: str, homes: int) -> dict[int, int]:
    """Every way of the API towards a relay; how often which status came."""
    found: dict[int, int] = {}

    async def ask(method, path, body, key):
        headers = {"Idempotency-Key": f"{name}-{key}".replace(" ", "-")}
        answer = await client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 500, answer.text
        found[answer.status_code] = found.get(answer.status_code, 0) + 1

    for n in range(1, homes + 1):
        order = {"meter": f"M{n}", "kind": "relay_off", "valid_s": 7200}
        await ask("POST", "/v1/commands", order, f"off{n}")
        await ask("POST", f"/v1/contracts/A{n}/supply/hold", {"reason": "attack"}, f"hold{n}")
        debt = {"account": f"A{n}", "amount_mu": -(10**9), "reason": "attack"}
        await ask("POST", "/v1/adjustments", debt, f"debt{n}")
        terms = {"pack": "unrestricted-demo", "notice_minutes": None}
        await ask("PUT", f"/v1/contracts/A{n}/terms", terms, f"terms{n}")
    return found


async def test_all_credentials_together_darken_no_more_than_the_limit(utility):
    async with db.make_pool(utility.store.urls["api"], size_max=4) as pool:
        app = create_app(
            pool,
            secret=SECRET,
            seal_key=utility.store.keystore.seal,
            open_key=utility.store.keystore.open,
            now=lambda: utility.now,
        )
        access = app.state.services.access
        switching = 0
        for name, permissions in CREDENTIALS.items():
            who = Principal(name.replace(" ", "-"), 1, frozenset(permissions), name)
            token = access.access_tokens.issue(who, int(access._now_s()))
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://127.0.0.1",
                headers={"Authorization": f"Bearer {token}"},
            ) as client:
                before = utility.store.value("select count(*) from ohmesh.command")
                may = {Permission.COMMAND_SEND, Permission.SUPPLY_SWITCH} <= set(permissions)
                answers = await attack(client, name, HOMES if may else 3)
            made = utility.store.value("select count(*) from ohmesh.command") - before
            assert may or not made, f"{name}: {answers}"
            switching += may
    assert switching == 3, "operator, admin, and the key that may do everything"
    for _ in range(6):
        utility.round(minutes=9)
    assert utility.store.value("select count(*) from ohmesh.release") == ORDERS_MAX
    assert 0 < len(utility.cuts()) <= ORDERS_MAX < HOMES
    assert utility.store.value("select count(*) from ohmesh.release_hold") > 0


INFLATE = (
    (
        "insert into ohmesh.service_point (tenant_id, name, area)"
        " select 1, 'fake' || n, 'T1' from generate_series(1, 2000) n"
    ),
    (
        "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s, service_point_id)"
        " select 1, 'fake' || n, 'fake' || n, 'nl_dsmr', 900, p.id from generate_series(1, 2000) n"
        " join ohmesh.service_point p on p.name = 'fake' || n"
    ),
    (
        "insert into ohmesh.account (tenant_id, name, meter_id, tariff, currency, terms)"
        " select 1, m.name, m.id, 'flat', 'EUR', '{}' from ohmesh.meter m where m.name like 'fake%'"
    ),
)


def test_full_sql_of_the_api_s_role_raises_no_limit(utility):
    """It registers meters and contracts by the thousand: the shares of them stay what they are."""
    utility.store.as_admin_all("update ohmesh.meter_status set last_seen = now()")
    before = db.run(utility.judge, books_of(1, utility.now))
    connection = utility.store.connect("api")
    connection.execute("select set_config('ohmesh.tenant', '1', false)")
    for statement in INFLATE:
        connection.execute(statement)
    with pytest.raises(Exception, match="permission denied"):
        connection.execute("update ohmesh.meter_status set last_seen = now()")
    after = db.run(utility.judge, books_of(1, utility.now))
    assert (after.meters, after.contracts) == (HOMES, HOMES)
    assert after == before
