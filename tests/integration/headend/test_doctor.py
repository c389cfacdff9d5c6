"""`ohmesh headend doctor` says what is wrong and what to do, and 0 only when all is well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from headend.ops.doctor import judge_end, judge_mode
from meter_sim.servers.process import LOOPBACK, free_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(*argv):
    return subprocess.run(
        [sys.executable, "-m", "ohmesh", "headend", *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def file(headend_base, tmp_path, database):
    """A configuration as bootstrap wrote it; the database's port stands for a broker's."""
    _, folder = headend_base
    text = (folder / "headend.toml").read_text()
    place = database.admin_url.rpartition("@")[2].partition("/")[0]
    found = tmp_path / "headend.toml"
    found.write_text(text.replace("mqtt://127.0.0.1:1883", f"mqtt://{place}"))
    return found


def test_all_is_well(file):
    done = run("doctor", "--config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("well  ") >= 6
    assert "postgresql://" not in done.stdout


def test_each_fault_is_named(file, tmp_path):
    text = file.read_text()
    kek = tmp_path / "kek"
    kek.write_text("00" * 32)
    kek.chmod(0o644)
    line = next(one for one in text.splitlines() if one.startswith("kek_file"))
    url = next(one for one in text.splitlines() if one.startswith("api_url"))
    owner = next(one for one in text.splitlines() if one.startswith("owner_url"))
    text = text.replace(line, f'kek_file = "{kek}"')
    text = text.replace(url, owner.replace("owner_url", "api_url"))
    broker = next(one for one in text.splitlines() if one.startswith("url = "))
    text = text.replace(broker, f'url = "mqtt://{LOOPBACK}:{free_port()}"')
    file.write_text(text)
    done = run("doctor", "--config", file)
    assert done.returncode == 1
    care = [one for one in done.stdout.splitlines() if one.startswith("CARE")]
    assert len(care) == 3, done.stdout
    assert any("chmod 600" in one for one in care)
    assert any("owns the tables" in one for one in care)
    assert any("CARE  broker" in one and "broker.url" in one for one in care)


def test_what_is_not_there_comes_with_a_fix(file, tmp_path):
    """Nothing listens, nothing is where the configuration says: each line says what to do."""
    place, absent = f"{LOOPBACK}:{free_port()}", tmp_path / "absent"
    text = re.sub(r'(_url) = ".*"', rf'\1 = "postgresql://nobody@{place}/none"', file.read_text())
    text = re.sub(r'^url = ".*"', f'url = "mqtt://{place}"', text, flags=re.MULTILINE)
    file.write_text(re.sub(r'(kek_file|token_file) = ".*"', rf'\1 = "{absent}"', text))
    done = run("doctor", "--config", file)
    care = [one for one in done.stdout.splitlines() if one.startswith("CARE")]
    assert done.returncode == 1
    assert len(care) >= 6, done.stdout
    said = ("bootstrap", "broker.url", "put back", "put the file there")
    assert all(any(word in one for word in said) for one in care), done.stdout


@pytest.mark.parametrize(("days", "well"), [(-1, False), (0, False), (13, False), (15, True)])
def test_what_ends_soon_is_told_before(days, well):
    assert (judge_end("x", NOW + timedelta(days=days), NOW).advice == "") is well


@pytest.mark.parametrize(
    ("mode", "well"), [(0o100600, True), (0o100400, True), (0o100640, False), (0o100604, False)]
)
def test_a_secret_is_its_owner_s(mode, well):
    assert (judge_mode("x", mode).advice == "") is well


def test_the_audit_log_is_verified_from_the_command_line(headend_base):
    _, folder = headend_base
    done = run("audit", "verify", "--config", folder / "headend.toml")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["holds"] is True
    assert found["tenants"][0]["head"].startswith("1:")
    wrong = run("audit", "verify", "--config", folder / "headend.toml", "--known", "one")
    assert wrong.returncode == 2
    assert "TENANT:SEQ:HASH" in wrong.stderr
    unseen = run("audit", "verify", "--config", folder / "headend.toml", "--known", "1:9:00")
    assert unseen.returncode == 1
