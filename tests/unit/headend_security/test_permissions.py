"""Every operation names what it needs, and the table of roles is what the page of docs says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from headend.api.app import create_app, routes_of
from headend.api.permissions import OPERATIONS, TWO_PEOPLE, admit, needed
from headend.security.roles import NOBODY, PERMISSIONS, SCOPES, Permission, Role, of_role, of_scopes

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


@pytest.fixture(scope="module")
def operations():
    keys: Any = {"seal_key": lambda _, key: key, "open_key": lambda _, key: key}
    app = create_app(cast("Any", None), secret=bytes(16), **keys)
    return routes_of(app)


def test_no_operation_without_a_permission_and_no_permission_without_one(operations):
    named = {name for names in OPERATIONS.values() for name in names}
    served = {route.name for route in operations}
    assert served - named == set(), "add a line to headend/api/permissions.py"
    assert named - served == set(), "served nowhere"
    assert served >= TWO_PEOPLE


def test_names_of_operations_are_their_own(operations):
    names = [route.name for route in operations]
    assert len(names) > 40
    assert len(set(names)) == len(names)


def test_every_operation_asks_for_its_permission():
    """FastAPI asks `admit` for the whole app; a router that does not come from it would not."""
    keys: Any = {"seal_key": lambda _, key: key, "open_key": lambda _, key: key}
    app = create_app(cast("Any", None), secret=bytes(16), **keys)
    assert [d.dependency for d in app.router.dependencies] == [admit]


def test_what_nobody_names_only_an_administrator_may():
    assert needed("added yesterday") is Permission.ADMIN
    assert [role for role in Role if Permission.ADMIN in PERMISSIONS[role]] == [Role.ADMIN]


def test_nobody_reads_at_most():
    writing = {p for p in Permission if not p.endswith(":read")} - {Permission.OPEN}
    assert not NOBODY & writing
    assert Permission.AUDIT_READ not in NOBODY


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (Role.VIEWER, Permission.FLEET_READ, Permission.COMMAND_SEND),
        (Role.OPERATOR, Permission.SUPPLY_SWITCH, Permission.MONEY_VEND),
        (Role.VENDING_CLERK, Permission.MONEY_VEND, Permission.SUPPLY_SWITCH),
        (Role.ENGINEER, Permission.FLEET_WRITE, Permission.SUPPLY_SWITCH),
        (Role.AUDITOR, Permission.AUDIT_READ, Permission.FLEET_WRITE),
        (Role.ADMIN, Permission.USERS, None),
    ],
)
def test_roles_are_apart(role, may, may_not):
    assert may in PERMISSIONS[role]
    assert may_not not in PERMISSIONS[role]


def test_unknown_words_give_nothing():
    assert of_role("emperor") == frozenset()
    assert of_scopes(["everything", "", "open"]) == {Permission.OPEN, Permission.SELF}
    assert of_scopes(sorted(SCOPES)) == frozenset(Permission)


def test_the_docs_table_is_the_code_s():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    assert set(rows) == set(Role)
    for role, text in rows.items():
        written = set(re.findall(r"`([a-z:]+)`", text))
        meant = PERMISSIONS[Role(role)] & SCOPES
        assert written == ({"everything"} if role == Role.ADMIN else set(meant)), role
