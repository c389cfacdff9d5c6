"""`ohmesh headend grafana`: a database role that charts read with, and Grafana's data source.

The role sees the views of the schema `grafana`, for one tenant, in read-only transactions of ten
seconds at most. It has a random password, which is made anew each time and written to the file.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headend.store import db
from headend.store.bootstrap import write_private
from headend.store.plan import Queries
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from headend.store.db import Connection

SQL: Final = Queries("headend.ops", "grafana.sql")
_SETTINGS: Final = (
    "alter role {role} set default_transaction_read_only = on",
    "alter role {role} set statement_timeout = '10s'",
    "alter role {role} set idle_in_transaction_session_timeout = '10s'",
    "alter role {role} connection limit 20",
    "grant usage on schema grafana to {role}",
    "grant select on all tables in schema grafana to {role}",
)


def make_reader(admin_url: str, *, role: str, tenant: str) -> str:
    """Make or renew the role that reads a tenant's views.

    Args:
        admin_url: a superuser's address of the head-end's database.
        role: its name.
        tenant: whose views.

    Returns: the role's password. Raises: StoreError; ConfigError: no such tenant.
    """
    password = secrets.token_urlsafe(24)
    with db.connect(admin_url, name="grafana", autocommit=True) as admin, db.transaction(admin):
        found = db.rows(admin, SQL("tenant", name=tenant))
        if not found:
            raise ConfigError(f"there is no tenant {tenant!r}")
        _make_role(admin, role, password)
        db.execute(admin, SQL("reads", role=role, tenant=found[0]["id"]))
    return password


def _make_role(admin: Connection, role: str, password: str) -> None:
    verb = "alter" if db.rows(admin, SQL("role", role=role)) else "create"
    db.execute_names(
        admin,
        verb + " role {role} with login nosuperuser nobypassrls nocreatedb nocreaterole"
        " noreplication noinherit password {password}",
        names={"role": role},
        literals={"password": password},
    )
    home = db.rows(admin, SQL("database"))[0]["name"]
    db.execute_names(
        admin,
        "grant connect on database {database} to {role}",
        names={"database": home, "role": role},
    )
    for setting in _SETTINGS:
        db.execute_names(admin, setting, names={"role": role})


def write_data_source(file: Path, admin_url: str, *, role: str, password: str) -> None:
    """Grafana's provisioning file, mode 0600; it is JSON, which YAML readers take."""
    place = urlsplit(admin_url)
    source = {
        "name": "ohmesh",
        "uid": "ohmesh",
        "type": "grafana-postgresql-datasource",
        "url": f"{place.hostname}:{place.port or 5432}",
        "user": role,
        "secureJsonData": {"password": password},
        "jsonData": {
            "database": place.path.lstrip("/"),
            "sslmode": "prefer",
            "maxOpenConns": 5,
            "timescaledb": _has_timescale(admin_url),
        },
    }
    write_private(file, json.dumps({"apiVersion": 1, "datasources": [source]}, indent=2) + "\n")


def _has_timescale(admin_url: str) -> bool:
    with db.connect(admin_url, name="grafana", autocommit=True) as admin:
        return bool(db.rows(admin, SQL("timescale")))
