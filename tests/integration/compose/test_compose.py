"""The compose file's promises, and its containers' own scripts on a real Mosquitto and PostgreSQL.

No container engine runs here: the file is read as data, and each script is run by hand with its
folders moved below a temporary one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from meter_sim.servers.process import free_port, listening, spawn, stop

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "deploy" / "compose"
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
USERS = ("headend", "gw1", "gw2", "sim")


def test_only_loopback_is_published_and_no_password_is_written():
    for name, service in FILE["services"].items():
        assert all(str(p).startswith("127.0.0.1:") for p in service.get("ports", [])), name
        assert "network_mode" not in service
        assert not service.get("privileged")
        assert not any(
            "PASSWORD" in k and not k.endswith("_FILE") for k in service.get("environment", {})
        )
    assert all(s["file"].startswith("./.secrets/") for s in FILE["secrets"].values())
    assert ".secrets/" in (ROOT / ".gitignore").read_text()


def test_every_service_has_a_health_check_and_a_pinned_image():
    for name, service in FILE["services"].items():
        assert "healthcheck" in service, name
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name


def test_scripts_that_the_file_names_are_there():
    named = set(re.findall(r"/opt/ohmesh/compose/([\w-]+\.sh)", str(FILE)))
    assert named == {p.name for p in (COMPOSE / "program").glob("*.sh")}
    for script in named:
        assert os.access(COMPOSE / "program" / script, os.X_OK)


def test_secrets_are_made_once_and_kept(tmp_path):
    shutil.copytree(COMPOSE, tmp_path / "deploy" / "compose")
    script = ["sh", str(tmp_path / "deploy/compose/make-secrets.sh")]
    subprocess.run(script, check=True, capture_output=True)
    first = {p.name: p.read_text() for p in (tmp_path / ".secrets").iterdir()}
    subprocess.run(script, check=True, capture_output=True)
    assert {p.name: p.read_text() for p in (tmp_path / ".secrets").iterdir()} == first
    assert set(first) == set(FILE["secrets"])
    assert len(set(first.values())) == len(first)
    assert min(map(len, first.values())) >= 32
    assert (tmp_path / ".secrets").stat().st_mode & 0o077 == 0


class Containers:
    """The compose services as processes: the same scripts, folders of their own."""

    def __init__(self, folder, database):
        self.folder, self.port, self.api_port = folder, free_port(), free_port()
        self.processes = {}
        shutil.copytree(COMPOSE, folder / "deploy" / "compose")
        make = ["sh", str(folder / "deploy/compose/make-secrets.sh")]
        subprocess.run(make, check=True, capture_output=True)
        self.secrets = folder / ".secrets"
        admin = psycopg.conninfo.conninfo_to_dict(database.admin_url)
        (self.secrets / "postgres_password").chmod(0o644)
        (self.secrets / "postgres_password").write_text(admin["password"])
        self.database = f"{admin['host']}:{admin['port']}"

    def environment(self, name):
        state = self.folder / name
        state.mkdir(exist_ok=True)
        return {
            "SECRETS": str(self.secrets),
            "STATE": str(state),
            "PUBLIC": str(self.folder),
            "RUN": str(state),
            "BROKER": f"127.0.0.1:{self.port}",
            "DATABASE": self.database,
            "DATABASE_NAME": "ohmesh_compose",
            "API_HOST": "127.0.0.1",
            "OHMESH_HEADEND__API__PORT": str(self.api_port),
            "HEADEND": f"http://127.0.0.1:{self.api_port}",
            "METERS": "6",
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:{os.environ['PATH']}",
        }

    def start_broker(self):
        text = (COMPOSE / "mosquitto" / "mosquitto.conf").read_text()
        home = self.folder / "broker"
        home.mkdir()
        for old, new in {
            "listener 1883": f"listener {self.port} 127.0.0.1",
            "/broker/acl": COMPOSE / "mosquitto" / "acl",
            "/tmp/passwords": home / "passwords",
            "/mosquitto/data/": f"{home}/",
        }.items():
            assert old in text
            text = text.replace(old, str(new))
        (home / "mosquitto.conf").write_text(text + "user root\n" * (os.geteuid() == 0))
        self.start("broker", "mosquitto/start.sh", BROKER_CONF=str(home / "mosquitto.conf"))
        self.until("Mosquitto", lambda: listening(self.port))

    def start(self, name, script, *words, **more):
        argv = ["sh", COMPOSE / script, *words]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = spawn(argv, log=log, env=self.environment(name) | more)

    def check(self, name, script, *words):
        environment = os.environ | self.environment(name)
        argv = ["sh", str(COMPOSE / script), *words]
        return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode

    def until(self, what, true):
        deadline = time.monotonic() + 90
        while not true():
            ended = [n for n, p in self.processes.items() if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = {p.name: p.read_text()[-1500:] for p in self.folder.glob("*.log")}
                pytest.fail(f"waited for {what}; ended: {ended}; {logs}")
            time.sleep(0.2)

    def stop(self):
        for process in reversed(self.processes.values()):
            # A shell script with a child of its own: end the whole session.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            stop(process)


@pytest.fixture
def containers(database, tmp_path):
    stack = Containers(tmp_path, database)
    stack.start_broker()
    yield stack
    stack.stop()


@pytest.mark.mosquitto
def test_the_scripts_bring_the_stack_up(containers, database):
    c = containers
    c.start("headend", "program/headend.sh")
    ready = f"http://127.0.0.1:{c.api_port}/readyz"
    c.until("the head-end", lambda: c.check("headend", "program/healthy.sh", ready) == 0)
    c.start("gw1", "program/gateway.sh", "gw1", "1")
    c.start("gw2", "program/gateway.sh", "gw2", "2")
    c.start("meters", "program/meters.sh")
    url = f"{database.admin_url.rpartition('/')[0]}/ohmesh_compose"
    with psycopg.connect(url, autocommit=True) as connection:

        def meters_heard():
            query = "select count(distinct meter_id) from bulk.reading"
            return connection.execute(query).fetchone()[0] == 6

        c.until("a reading of every meter", meters_heard)
    assert c.check("gw1", "program/gateway-healthy.sh") == 0
    assert c.check("meters", "program/meters-healthy.sh") == 0


def attempt(port, user, secret, topic):
    """(connected, the broker took the publish, the broker granted the subscription)."""
    answers = {}
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, secret)
    client.on_connect = lambda *a: answers.update(connect=not a[3].is_failure)
    client.on_publish = lambda *a: answers.update(publish=not a[3].is_failure)
    client.on_subscribe = lambda *a: answers.update(subscribe=not a[3][0].is_failure)
    client.connect("127.0.0.1", port)
    deadline = time.monotonic() + 60
    while "connect" not in answers and time.monotonic() < deadline:
        client.loop(0.05)
    if answers.get("connect"):
        client.publish(topic, b"x", qos=1)
        client.subscribe(topic, qos=1)
        while len(answers) < 3 and time.monotonic() < deadline:
            client.loop(0.05)
        client.disconnect()
    client.loop(0.05)
    return tuple(answers.get(key, False) for key in ("connect", "publish", "subscribe"))


@pytest.mark.mosquitto
def test_a_gateway_touches_its_own_topics_only(containers):
    c = containers
    secrets = {user: (c.secrets / f"mqtt_{user}").read_text() for user in USERS}
    assert attempt(c.port, "gw1", "wrong", "ohmesh/v1/gw/gw1/up") == (False, False, False)
    assert attempt(c.port, "gw1", "", "ohmesh/v1/gw/gw1/up") == (False, False, False)
    writes = {
        ("gw1", "ohmesh/v1/gw/gw1/up"): True,
        ("gw1", "ohmesh/v1/gw/gw2/up"): False,
        ("gw1", "ohmesh/v1/gw/gw2/ack"): False,
        ("gw1", "ohmesh/v1/gw/gw1/down"): False,
        ("gw1", "ohmesh/air/1/tx/2"): False,
        ("gw1", "$SYS/broker"): False,
        ("gw1", "other"): False,
        ("headend", "ohmesh/v1/gw/gw1/down"): True,
        ("headend", "ohmesh/v1/gw/gw1/up"): False,
        ("sim", "ohmesh/air/1/tx/7"): True,
        ("sim", "ohmesh/v1/gw/gw1/up"): False,
        ("sim", "ohmesh/v1/gw/gw1/down"): False,
    }
    got = {key: attempt(c.port, key[0], secrets[key[0]], key[1])[1] for key in writes}
    assert got == writes
