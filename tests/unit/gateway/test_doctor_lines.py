from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

import pytest

from gateway import config, doctor
from gateway.drivers.line import LineSettings
from gateway.identity import Enrolment, Identity, NewKey
from headend.security import ca
from ohmesh.wire.meshkeys import MeshKeys, write_mesh_keys

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


@pytest.fixture
def with_lines(settings, tmp_path):
    (tmp_path / "ttyUSB0").touch()
    return settings(
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


async def test_each_line_that_cannot_be_opened_has_its_fix(with_lines, tmp_path):
    lines = doctor._lines(with_lines)
    checks = [await doctor._line(line, running=False) for line in lines]
    assert [(check.ok, check.detail, check.fix.partition(",")[0]) for check in checks] == [
        (False, f"{tmp_path}/ttyACM0: No such file or directory", "plug it in"),
        (False, f"{tmp_path}/ttyUSB*: it is no serial port", "correct `line`"),
        (False, "tcp://127.0.0.1:9: connection refused", "start the device server"),
    ]


async def test_lines_of_a_running_gateway_are_left_alone(with_lines, tmp_path):
    checks = [await doctor._line(line, running=True) for line in doctor._lines(with_lines)]
    assert [check.ok for check in checks] == [False, True, True]
    assert checks[0].detail == f"{tmp_path}/ttyACM0 is not there"
    assert "detect" in checks[0].fix


async def test_a_host_that_nobody_knows(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    check = await doctor._line(LineSettings("tcp://nowhere.example:502"), running=False)
    assert check.detail == "tcp://nowhere.example:502: Name or service not known"
    assert check.fix == "correct the host in `line`"
    check = doctor._port_free("metrics", "nowhere.example", 9108, running=False)
    assert (check.ok, check.fix) == (False, "correct metrics.host")


def test_mesh_keys_are_read_before_the_mesh_needs_them(tmp_path):
    file = tmp_path / "mesh-keys.json"
    assert doctor._mesh_keys(None).verdict == "warn"
    assert "No such file" in doctor._mesh_keys(file).detail
    write_mesh_keys(file, MeshKeys(1, {1: "00" * 16}, {}))
    assert doctor._mesh_keys(file).verdict == "ok"
    file.chmod(0o644)
    assert "chmod 600" in doctor._mesh_keys(file).detail


def test_a_profile_that_nobody_here_knows_is_a_warning(settings):
    found = settings(
        """
        [[p1]]
        name = "a"
        line = "/dev/ttyUSB0"
        meter = "M1"
        profile = "nl_dmsr"
        [[sml]]
        name = "b"
        line = "/dev/ttyUSB1"
        meter = "M2"
        """
    )
    (check,) = doctor._profiles(found)
    assert (check.verdict, check.fix) == ("warn", "write nl_dsmr")
    assert check.detail == "p1 a: nl_dmsr is not known here"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
async def test_a_port_without_rights(tmp_path):
    (tmp_path / "ttyUSB0").touch(mode=0)
    line = LineSettings(str(tmp_path / "ttyUSB0"))
    assert "dialout" in (await doctor._line(line, running=False)).fix


@pytest.mark.parametrize(("kept", "verdict"), [(True, "ok"), (False, "warn")])
def test_a_clock_that_nobody_keeps_right_is_a_warning(monkeypatch, kept, verdict):
    monkeypatch.setattr(doctor, "_synchronised", lambda: kept)
    check = doctor._clock(NOW)
    assert (check.verdict, check.ok, bool(check.fix)) == (verdict, True, not kept)
    assert doctor._clock(NOW.replace(year=2001)).verdict == "FAIL"


def test_the_kernel_says_whether_a_time_service_steers_the_clock(monkeypatch):
    said = {}

    class Library:
        def adjtimex(self, timex):
            said["modes"] = timex.raw[:4]
            return said["state"]

    monkeypatch.setattr(doctor.ctypes, "CDLL", lambda _: Library())
    for said["state"], kept in ((0, True), (1, True), (5, False)):
        assert doctor._synchronised() is kept
        assert said["modes"] == bytes(4), "only a look"
