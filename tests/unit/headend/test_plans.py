"""Plans run without a database: a test feeds the rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headend.ingest.loop import REFUSED_PER_MINUTE, Evidence
from headend.ingest.work import Refused
from headend.prepayment import ledger
from headend.service.commands import NewCommand, create_command
from headend.store import guard, migrate
from headend.store.plan import Queries
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import CommandError, ConfigError, PrepaymentError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILES = {
    "headend.service": ("fleet.sql", "accounts.sql", "commands.sql"),
    "headend.prepayment": ("ledger.sql", "engine.sql"),
    "headend.commands": ("commands.sql",),
    "headend.ingest": ("ingest.sql",),
    "headend.store": ("migrate.sql", "guard.sql", "bootstrap.sql"),
}


def feed(plan, *answers):
    """Run a plan on canned rows."""
    try:
        plan.send(None)
        for rows in answers:
            plan.send(rows)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the plan asks for more")


@pytest.mark.parametrize(
    ("package", "file"), [(package, file) for package, files in FILES.items() for file in files]
)
def test_every_statement_has_a_name_of_its_own_and_a_text(package, file):
    queries = Queries(package, file)
    assert queries._statements
    assert all(text.split() for text in queries._statements.values())


def test_a_command_for_nobody_or_without_a_key_or_too_late_is_refused():
    request = NewCommand("M1", CommandKind.RELAY_ON, NOW, "k", "me")
    meter = {"id": 1, "has_key": True}
    for answers, code in (
        (([],), "unknown_meter"),
        (([meter | {"has_key": False}], [], []), "no_key"),
        (([meter], [], []), "expired"),
    ):
        with pytest.raises(CommandError) as refused:
            feed(create_command(1, request, NOW), *answers)
        assert refused.value.code == code


@pytest.mark.parametrize("amount", [0, -1, 2**53 + 1])
def test_an_amount_out_of_range_is_refused(amount):
    with pytest.raises(PrepaymentError) as refused:
        ledger.check_amount(amount)
    assert refused.value.code == "amount"


def test_every_migration_has_a_number_of_its_own():
    for folder in (migrate.CORE, migrate.TIMESCALE):
        names = [script.name.removeprefix(f"{folder}/") for script in migrate.scripts(folder)]
        numbers = [int(name[:4]) for name in names]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_forget_is_refused(setting):
    safe = dict.fromkeys(
        ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"), "on"
    )
    guard.check_durability(safe)
    with pytest.raises(ConfigError, match=setting):
        guard.check_durability(safe | {setting: "off"})


def test_a_server_without_checksums_is_told_about(caplog):
    safe = dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "on")
    guard.check_durability(safe | {"data_checksums": "off"})
    assert "checksums" in caplog.text


def test_evidence_of_garbage_is_bounded_per_minute(caplog):
    evidence = Evidence()
    garbage = [Refused("t", "batch:malformed", "m", b"")] * 50
    kept = sum(len(evidence.admit(garbage, now_s)) for now_s in (0.0, 1.0, 2.0, 59.0))
    assert kept == REFUSED_PER_MINUTE
    assert len(evidence.admit(garbage, 61.0)) == 50
    assert f"{200 - REFUSED_PER_MINUTE} more messages" in caplog.text


def test_an_unknown_gateway_is_named_once_a_minute():
    evidence = Evidence()
    assert [evidence.first_of("gw", now_s) for now_s in (0.0, 1.0, 61.0)] == [True, False, True]
