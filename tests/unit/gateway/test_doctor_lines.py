from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from gateway import config, doctor
from gateway.identity import Enrolment, Identity, NewKey
from headend.security import ca

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    def load(text):
        file = tmp_path / "gateway.toml"
        file.write_text(text)
        return config.load(file)

    monkeypatch.chdir(tmp_path)
    return load


@pytest.fixture
def identity(tmp_path):
    made, key = Identity(tmp_path / "identity"), NewKey("gw/gw1")
    fleet = ca.Authority.create("fleet", NOW)
    issued = fleet.issue(key.request, "gw/gw1", NOW, life=timedelta(days=90))
    made.keep(key, ca.pem(issued), fleet.pem)
    return made


def judged(identity, days):
    return doctor._certificate(identity, NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "ok", "text"),
    [
        (0, True, "gw/gw1, until 2026-08-30"),
        (60, True, "until"),
        (68, False, "its renewal is late"),
        (91, False, "not good now"),
        (-400, False, "not good now"),
    ],
)
def test_a_certificate_by_its_age(identity, days, ok, text):
    check = judged(identity, days)
    assert check.ok is ok
    assert text in check.detail
    assert bool(check.fix) is not ok


def test_no_certificate_and_a_damaged_one(identity, tmp_path):
    assert "enrol" in judged(Identity(tmp_path / "none"), 0).fix
    (identity.folder / "identity.pem").write_text("garbage")
    assert "enrol" in judged(identity, 0).fix


def test_a_gate_s_key_comes_by_the_settings_or_by_enrolment(settings, tmp_path):
    found = settings("[mesh]\nenabled = true")
    assert "no meter here can be switched off" in doctor._limiter(found).detail
    (tmp_path / "identity").mkdir()
    Identity(tmp_path / "identity").keep_enrolment(Enrolment("https://x", ["ab" * 32]))
    assert doctor._limiter(found).ok
    (tmp_path / "identity" / "enrolment.json").unlink()
    assert doctor._limiter(settings(f"[limiter]\ngate_keys = ['{'ab' * 32}']")).ok


def test_each_port_that_is_not_there_is_named(settings, tmp_path):
    (tmp_path / "ttyUSB0").touch()
    found = settings(
        f"""
        [[p1]]
        name = "p1"
        line = "{tmp_path}/ttyUSB*"
        meter = "M1"
        [[sml]]
        name = "sml"
        line = "{tmp_path}/ttyACM0"
        meter = "M2"
        [[readout]]
        name = "r"
        line = "tcp://127.0.0.1:9"
        meter = "M3"
        """
    )
    checks = {check.detail: check for check in doctor._lines(found)}
    assert [check.ok for check in checks.values()] == [False, True]
    assert f"{tmp_path}/ttyACM0 is not there" in checks


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
def test_a_port_without_rights(tmp_path):
    (tmp_path / "ttyUSB0").touch(mode=0)
    assert "dialout" in doctor._line(str(tmp_path / "ttyUSB0")).fix
