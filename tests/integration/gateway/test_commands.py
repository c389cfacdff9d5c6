"""`ohmesh gateway` as people use it."""

from __future__ import annotations

import asyncio
import json
import os
import socket

import pytest

from gateway import cli, doctor


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Run a command with these settings and no others; its exit code."""
    for name in list(os.environ):
        if name.upper().startswith("OHMESH_GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*argv, broker_url="mqtt://127.0.0.1:9", **settings):
        monkeypatch.setenv("OHMESH_GATEWAY__BROKER__URL", broker_url)
        for key, value in settings.items():
            monkeypatch.setenv(f"OHMESH_GATEWAY__{key}", value)
        return cli.main(list(argv))

    return run


def checks(capsys):
    document = json.loads(capsys.readouterr().out)
    return {check["name"]: check for check in document["checks"]}, document["ok"]


def test_doctor_finds_nothing_wrong(configured, broker, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_synchronised", lambda: True)
    assert configured("doctor", "--json", broker_url=broker.url, BENCH__ENABLED="true") == 0
    found, ok = checks(capsys)
    assert ok
    assert set(found) == {"clock", "folder", "outbox", "disk", "broker", "bench", "sources"}
    assert all(check["ok"] and not check["fix"] for check in found.values())
    assert list(tmp_path.glob("outbox.db*")) == [], "looking leaves nothing behind"


def test_doctor_names_each_fault_and_its_fix(configured, capsys, tmp_path):
    (tmp_path / "outbox.db").write_bytes(b"garbage" * 1000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = configured(
            "doctor",
            "--json",
            BENCH__ENABLED="true",
            BENCH__PORT=str(taken.getsockname()[1]),
            OUTBOX__MAX_BYTES=str(2**40),
            MESH__ENABLED="true",
            MESH__AIR_URL="mqtt://127.0.0.1:10",
        )
    assert code == 1
    found, ok = checks(capsys)
    assert not ok
    assert {name for name, check in found.items() if not check["ok"]} == {
        "outbox",
        "disk",
        "broker",
        "air",
        "bench",
        "limiter",
    }
    assert all(check["fix"] for check in found.values() if not check["ok"])
    assert (tmp_path / "outbox.db").read_bytes() == b"garbage" * 1000


def test_doctor_without_a_folder(configured, capsys):
    assert configured("doctor", "--json", OUTBOX__PATH="absent/outbox.db") == 1
    found, _ = checks(capsys)
    assert not found["folder"]["ok"]
    assert "make the folder" in found["folder"]["fix"]


def test_doctor_in_words(configured, capsys):
    assert configured("doctor") == 1
    out = capsys.readouterr().out
    assert "FAIL  broker" in out
    assert "fix: start the broker" in out
    assert "no source of telegrams is enabled" in out


async def test_the_outbox_of_a_running_gateway_and_of_a_stopped_one(
    configured, gateway_process, bench, broker, capsys, wait_until
):
    broker.stop()
    gateway = gateway_process()
    client = await bench(gateway)
    for _ in range(7):
        await client.put()
    status = gateway.folder / "outbox.db.status"
    assert await wait_until(
        lambda: status.exists() and json.loads(status.read_text())["waiting"] == 7
    )
    assert configured("outbox", "--json") == 0
    running = json.loads(capsys.readouterr().out)
    assert running["waiting"] == 7
    assert await asyncio.to_thread(configured, "doctor", "--json", BENCH__ENABLED="true") == 1
    found, _ = checks(capsys)
    assert found["outbox"]["detail"].endswith("outbox.db is open in the running gateway")
    assert found["bench"]["ok"]
    gateway.stop()
    assert configured("outbox") == 0
    assert "waiting   7 telegrams" in capsys.readouterr().out


def test_no_outbox_is_a_clear_error(configured):
    with pytest.raises(cli.StoreError, match="there is no outbox"):
        configured("outbox")


async def test_no_password_in_any_log(gateway_process, bench, broker):
    gateway = gateway_process(
        LOG__LEVEL="debug", BROKER__URL=broker.url.replace("//", "//somebody:hunter2@")
    )
    client = await bench(gateway)
    await client.put()
    broker.stop()
    await client.put()
    gateway.stop()
    assert "hunter2" not in gateway.log.read_text()


def test_a_bench_port_that_is_taken_ends_the_start_with_a_line(gateway_process):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = gateway_process(BENCH__PORT=str(taken.getsockname()[1]))
        assert gateway.process.wait(120) == 1
    last = gateway.log.read_text().splitlines()[-1]
    assert last.startswith("ohmesh gateway: ")
    assert "Address already in use" in last
    assert "choose another bench.port" in last
