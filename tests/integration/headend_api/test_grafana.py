"""Every panel's SQL runs under the role that charts have, and that role can do nothing else."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from headend.ops.grafana import make_reader, write_data_source
from headend.store import db

FOLDER = Path(__file__).parents[3] / "deploy/grafana"
PERIOD = ("'2020-01-01T00:00:00Z'", "'2030-01-01T00:00:00Z'")
ROLE = "ohmesh_ro"


def expanded(sql):
    """Grafana's macros as it writes them for PostgreSQL."""
    sql = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN {PERIOD[0]} AND {PERIOD[1]}", sql)
    sql = re.sub(
        r"\$__timeGroupAlias\(([\w.]+), *'(\w+)'\)",
        r"date_bin('\2', \1, '2000-01-01') AS \"time\"".replace('\\"', '"'),
        sql,
    )
    sql = sql.replace("${meter:sqlstring}", "'M0001'")
    assert "$" not in sql, sql
    return sql


def questions():
    for file in sorted((FOLDER / "dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield pytest.param(target["rawSql"], id=f"{file.stem}: {panel['title']}")
        for variable in board["templating"]["list"]:
            yield pytest.param(variable["query"], id=f"{file.stem}: ${variable['name']}")


@pytest.fixture(scope="module")
def reader_url(site, tmp_path_factory):
    password = make_reader(site.admin_url, role=ROLE, tenant="default")
    file = tmp_path_factory.mktemp("grafana") / "ohmesh.yaml"
    write_data_source(file, site.admin_url, role=ROLE, password=password)
    source = json.loads(file.read_text())["datasources"][0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    place = urlsplit(site.admin_url)
    secret = quote(source["secureJsonData"]["password"])
    yield f"postgresql://{source['user']}:{secret}@{source['url']}{place.path}"
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"drop owned by {ROLE}")
        admin.execute(f"drop role {ROLE}")


def test_there_are_four_boards():
    assert len(list((FOLDER / "dashboards").glob("*.json"))) == 4


@pytest.mark.parametrize("sql", list(questions()))
def test_every_panel_runs(reader_url, sql):
    with db.connect(reader_url, name="test", autocommit=True) as reader:
        reader.execute(expanded(sql)).fetchall()


def test_the_fleet_is_the_tenants(reader_url):
    with db.connect(reader_url, name="test", autocommit=True) as reader:
        reader.execute("set ohmesh.tenant = '2'")
        names = {r["meter"] for r in reader.execute("select meter from grafana.meter").fetchall()}
        assert "M0001" in names
        assert not any(name.startswith("B-") for name in names)
        shown = reader.execute("show statement_timeout").fetchone()
        assert shown["statement_timeout"] == "10s"


@pytest.mark.parametrize(
    "sql",
    [
        "select * from ohmesh.meter",
        "select * from bulk.reading",
        "select * from api.reading",
        "select * from ohmesh.reader_role",
        "update grafana.meter set meter = 'x'",
        "create table grafana.mine (i int)",
        "set default_transaction_read_only = off; update ohmesh.reader_role set tenant_id = 2",
    ],
)
def test_nothing_else(reader_url, sql):
    with (
        db.connect(reader_url, name="test", autocommit=True) as reader,
        pytest.raises(Exception, match=r"permission denied|read-only|cannot"),
    ):
        reader.execute(sql)
