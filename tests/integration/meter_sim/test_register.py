"""Registration at a head-end's API, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meter_sim.register import register
from meter_sim.servers.process import free_port
from meter_sim.street import StreetPlan, make_roster
from ohmesh.model.errors import ConfigError

ROSTER = make_roster(StreetPlan(meters=3, gateways=1))


class HeadEnd(ThreadingHTTPServer):
    """Answers every POST with the next status of a list, then with 201."""

    def __init__(self, statuses):
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses)
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def headend():
    started = []

    def start(*statuses):
        server = HeadEnd(statuses)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_gateways_and_meters_are_registered_with_the_token(headend):
    server = headend()
    await register(server.url, "secret", ROSTER, ROSTER.meters)
    assert [path for path, _, _ in server.requests] == ["/v1/gateways"] + ["/v1/meters"] * 3
    assert {token for _, token, _ in server.requests} == {"Bearer secret"}
    gateway, meter = server.requests[0][2], server.requests[1][2]
    assert gateway["gateway"] == "gw1"
    assert gateway["node"] == 1
    assert meter["meter"] == "M0001"
    assert meter["node"] == 100
    assert meter["profile"] == "nl_dsmr"
    assert meter["interval_s"] == 900
    assert meter["key_hex"] == ROSTER.meters[0].key_hex


async def test_who_is_known_already_is_no_error(headend):
    server = headend(409, 409, 201, 409)
    await register(server.url, "secret", ROSTER, ROSTER.meters)
    assert len(server.requests) == 4


async def test_a_head_end_in_trouble_is_asked_again(headend):
    server = headend(503, 201)
    await register(server.url, "secret", ROSTER, ROSTER.meters[:1])
    assert [path for path, _, _ in server.requests] == [
        "/v1/gateways",
        "/v1/gateways",
        "/v1/meters",
    ]


@pytest.mark.parametrize("status", [401, 403, 422])
async def test_a_refusal_is_told_with_what_was_refused(headend, status):
    server = headend(201, status)
    with pytest.raises(ConfigError, match=f"M0001: {status}"):
        await register(server.url, "wrong", ROSTER, ROSTER.meters)
    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["ftp://host", "host", "http://[::1"])
async def test_a_wrong_address_is_refused(url):
    with pytest.raises(ConfigError, match="address"):
        await register(url, "secret", ROSTER, ROSTER.meters)


def test_a_fleet_that_is_refused_says_so_in_one_line_and_ends(headend, tmp_path):
    server = headend(401)
    (tmp_path / "roster.json").write_bytes(ROSTER.to_json())
    (tmp_path / "token").write_text("wrong\n")
    argv = [sys.executable, "-m", "ohmesh", "sim", "fleet", "--roster", tmp_path / "roster.json"]
    argv += ["--air", f"mqtt://127.0.0.1:{free_port()}"]
    argv += ["--register", server.url, "--token-file", tmp_path / "token"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "ohmesh sim: the head-end refuses gw1: 401" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert server.requests[0][1] == "Bearer wrong"
