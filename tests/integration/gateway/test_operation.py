"""What an operator's tools see of a gateway: systemd, Prometheus, and the units that we ship."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from meter_sim.servers.process import free_port

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"


async def test_systemd_and_prometheus_see_a_gateway_at_work(
    head_end, gateway_process, bench, tmp_path, wait_until
):
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(20)
        gateway = gateway_process(METRICS__ENABLED="true", METRICS__PORT=str(port))
        gateway.kill()
        gateway.env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        gateway.start()
        assert await asyncio.to_thread(heard.recv, 200) == b"READY=1"
        said = [(await asyncio.to_thread(heard.recv, 200)).decode() for _ in range(3)]
        assert all(one.startswith("WATCHDOG=1\nSTATUS=") for one in said)
        client = await bench(gateway)
        for _ in range(12):
            await client.put()
        assert await wait_until(lambda: len(head_end.rows) == 12)
        found = {}
        async with httpx.AsyncClient() as http, asyncio.timeout(60):
            while found.get("ohmesh_gateway_outbox_telegrams") != 0 or not found.get(
                "ohmesh_gateway_uplink_ack_seconds_count"
            ):
                await asyncio.sleep(0.1)
                found = _samples((await http.get(f"http://127.0.0.1:{port}/metrics")).text)
            assert (await http.get(f"http://127.0.0.1:{port}/other")).status_code == 404
        assert found["ohmesh_gateway_telegrams_total"] == 12
        assert found["ohmesh_gateway_uplink_up"] == 1
        assert found["ohmesh_gateway_meters"] >= 1
        assert found["ohmesh_gateway_outbox_bytes"] > 0
        await asyncio.to_thread(gateway.stop)
        heard.setblocking(False)  # noqa: FBT003 - the library's signature
        last = b""
        while b"STOPPING" not in last:
            last = heard.recv(200)


_READ_ONLY = """
mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / &&
mount -o remount,bind,rw "$1" && shift && exec "$@"
"""


def _may_unshare():
    """A mount namespace of one's own needs rights that not every machine gives."""
    shell = [
        shutil.which("unshare") or "false",
        "--mount",
        "sh",
        "-c",
        "mount -o remount,bind,ro /",
    ]
    return subprocess.run(shell, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _may_unshare(), reason="needs the right to a mount namespace")
async def test_it_works_where_only_its_folder_can_be_written_and_nobody_can_knock(
    head_end, gateway_process, bench, tmp_path, wait_until
):
    gateway = gateway_process()
    gateway.kill()
    shell = ["unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", str(tmp_path)]
    gateway.argv = [*shell, *gateway.argv]
    gateway.start()
    client = await bench(gateway)
    for _ in range(5):
        await client.put()
    assert await wait_until(lambda: len(head_end.rows) == 5)
    assert _doors(gateway.process.pid) == {("127.0.0.1", gateway.bench_port)}
    assert not _can_write(gateway.process.pid, Path(__file__))
    assert gateway.stop() == 0
    gateway.env["OHMESH_GATEWAY__BENCH__ENABLED"] = "false"
    gateway.start()
    states = len(head_end.states)
    assert await wait_until(lambda: len(head_end.states) > states)
    assert _doors(gateway.process.pid) == set(), "as it comes, it has no door at all"


def _doors(pid):
    """Address and port of each TCP socket on which a process listens."""
    sockets = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            sockets.add(str(fd.readlink()))
    doors = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host, port = fields[1].split(":")
                octets = bytes.fromhex(host)[::-1]
                text = socket.inet_ntoa(octets) if len(octets) == 4 else octets.hex()
                doors.add((text, int(port, 16)))
    return doors


def _can_write(pid, file):
    """Whether a process sees the file on a file system that is not read-only."""
    return not os.statvfs(f"/proc/{pid}/root{file}").f_flag & os.ST_RDONLY


def _samples(text):
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "bucket" not in sample.name
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("program", ["gateway", "headend"])
def test_a_program_s_unit_is_sound_and_tight(program, tmp_path):
    unit = tmp_path / f"ohmesh-{program}.service"
    unit.write_text((UNITS / unit.name).read_text().replace("/opt/ohmesh/bin/ohmesh", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    wrong = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in wrong.stderr.splitlines() if unit.name in line]
    assert ours == []
