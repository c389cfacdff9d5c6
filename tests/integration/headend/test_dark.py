"""Clocks that differ, and a gateway that was dark: no cut that is not right, and all come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from utility import NOW, PEOPLE, Utility

from headend.gate.judging import CLOCK_LIMIT, Signer, judge_all
from headend.gate.process import Gate
from headend.service.accounts import top_up
from headend.service.commands import NewCommand, create_command
from headend.store import db
from ohmesh.model.command import CommandKind
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.sealed import takes_supply_away


@pytest.fixture
def utility(store, kit):
    return Utility(store, kit)


def test_while_the_clocks_differ_nobody_is_cut_and_reconnections_go_on(utility):
    """F4. The store's clock is the real one, so the gate of this test is far off."""
    utility.homes(2)
    utility.exhaust(only=1)
    utility.gate = Gate(
        url=utility.store.urls["gate"],
        signer=Signer(utility.kit.GATE_KEY, PEOPLE),
        now=lambda: utility.now,
        clock_limit=CLOCK_LIMIT,
    )
    on = NewCommand("M2", CommandKind.RELAY_ON, NOW + timedelta(hours=2), "on", "operator")
    utility.store.ask(create_command(1, on, NOW))
    utility.round()
    assert utility.gate.step(utility.judge).clock_differs
    assert utility.cuts() == set()
    assert [decode_down(payload).meter for _, payload in utility.sent] == ["M2"]
    skew = datetime.now(UTC) - utility.now
    right = judge_all(Signer(utility.kit.GATE_KEY, PEOPLE), utility.now, clock_limit=2 * skew)
    with utility.judge.transaction():
        assert db.run(utility.judge, right).released == 1


def test_a_gateway_that_was_dark_for_six_hours(utility):
    """No cut outside the hours, and all who paid meanwhile are back ten minutes after the link."""
    utility.homes(40)
    utility.store.as_admin_all(
        'update ohmesh.account set terms = terms || \'{"pack": "gb-example"}\''
    )
    utility.exhaust()
    utility.round()  # noon on a Monday: cut and heard
    _hear(utility, utility.cuts(), on=False)
    dark = utility.cuts()
    assert dark
    utility.now = NOW + timedelta(hours=5)
    utility.sent.clear()  # the link is dark now: what leaves is not heard
    for name in sorted(dark):
        account = name.replace("M", "A")
        wish = top_up(1, account, amount_mu=10**6, idempotency_key=f"p{name}", now=utility.now)
        utility.store.ask(wish)
    came_back = utility.now + timedelta(hours=6)
    while utility.now < came_back:
        sent = len(utility.sent)
        utility.round(minutes=20)
        late = [p for _, p in utility.sent[sent:] if takes_supply_away(decode_down(p).payload)]
        assert not late or 11 <= utility.now.hour < 18
    utility.sent.clear()
    heard = set()
    while heard < dark:
        utility.round(seconds=5)
        assert utility.now <= came_back + timedelta(minutes=10), dark - heard
        restored = {decode_down(p).meter for _, p in utility.sent} - utility.cuts()
        _hear(utility, restored - heard, on=True)
        heard |= restored
    utility.round(seconds=5)
    states = utility.store.rows(
        "select distinct s.desired from ohmesh.supply s join ohmesh.account_balance w"
        " on w.account_id = s.account_id and w.book = 'wallet'"
        " where w.credits_mu > w.debits_mu"
    )
    assert states == [{"desired": 1}]


def _hear(utility, meters, *, on):
    """Their answers come up: what was sent to them is done, and their relays are read back."""
    names = ", ".join(f"'{name}'" for name in meters) or "''"
    utility.store.as_admin_all(
        f"update ohmesh.command c set state = 'done', resolved_at = now(), relay = {int(on)}"
        f" from ohmesh.meter m where m.id = c.meter_id and m.name in ({names})"
        f" and c.state in ('sent', 'in_field') and c.kind = {2 if on else 1};"
        f" update ohmesh.meter_status s set relay = {int(on)}, relay_counter = relay_counter + 1"
        f" from ohmesh.meter m where m.id = s.meter_id and m.name in ({names})"
    )
