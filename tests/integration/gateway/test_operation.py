"""What an operator's tools see of a gateway: systemd, Prometheus, and the units that we ship."""

from __future__ import annotations

import asyncio
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
        async with httpx.AsyncClient() as http, asyncio.timeout(20):
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


def _samples(text):
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "bucket" not in sample.name
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_gateway_s_unit_is_sound_and_tight(tmp_path):
    unit = tmp_path / "ohmesh-gateway.service"
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
