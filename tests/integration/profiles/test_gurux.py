"""Our DLMS server against a client of another making, in a process of its own.

The package gurux-dlms is under the GPL, so it is never imported here and never shipped: it has an
environment of its own, built on first use (`sh requirements/tools.sh gurux`), or where
OHMESH_GURUX_PYTHON says. Its server does not run in version 1.0.203, so the other direction is not
tested.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.link import ServerLink, address
from firmware_profiles.codecs.dlms.objects.control import DisconnectControl
from firmware_profiles.codecs.dlms.objects.measure import (
    Clock,
    Column,
    ProfileGeneric,
    data,
    register,
)
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from firmware_profiles.codecs.dlms.transport import unwrap, wrapper
from ohmesh.model.command import RelayState
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

HERE = Path(__file__).parent
TOOLS = HERE.parents[2] / "requirements" / "tools.sh"
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ROWS = 200


@pytest.fixture(scope="session")
def gurux():
    """The interpreter that has the package."""
    given = os.environ.get("OHMESH_GURUX_PYTHON")
    if given:
        return given
    built = subprocess.run(
        ["sh", TOOLS, "gurux"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"gurux-dlms cannot be installed here: {built.stderr[-200:]}")
    return built.stdout.strip()


class Meter:
    def __init__(self):
        self.relay = DisconnectControl()
        clock = Clock(ZoneInfo("Asia/Seoul"))
        self.value = 0
        energy = register(
            Obis.parse("1-0:1.8.0"), lambda _now: axdr.uint32(self.value), scaler=0, unit=Unit.WH
        )
        profile = ProfileGeneric(
            Obis.parse("1-0:99.1.0"),
            [Column(clock, 2), Column(energy, 2)],
            period_s=900,
            entries_max=1000,
        )
        for n in range(ROWS):
            self.value = 1000 + n
            profile.capture(NOW - timedelta(minutes=15 * (ROWS - n)))
        settings = ServerSettings(
            password=b"12345678",
            keys=Keys(bytes(range(16)), bytes(range(16, 32))),
            title=b"OHM\0\0\0\0\2",
            challenge=lambda: b"server challenge",
        )
        name = data(Obis.parse("0-0:42.0.0"), axdr.octets(b"OHM0000000000002"), public=True)
        note = data(Obis.parse("0-0:96.13.0"), axdr.octets(b""), writable=True)
        self.server = Server([name, note, clock, energy, profile, self.relay], settings)
        self.link = ServerLink(address(1), self.answer, self.server.disconnected)

    def answer(self, apdu):
        return self.server.receive(apdu, NOW)

    def frame(self, frame, interface):
        if interface == "HDLC":
            return self.link.receive(frame)
        reply = self.answer(unwrap(frame).apdus[0])
        return wrapper(reply, source=1, destination=1)


def started(python, *words):
    """A peer with pipes on all sides."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "TZ": "UTC"}
    command = [python, str(HERE / "gurux_client.py"), *words]
    return subprocess.Popen(command, **pipes, text=True, env=environment)


def talk(python, meter, interface, authentication):
    """Let the peer run its session; returns what it read."""
    with started(python, interface, authentication) as peer:
        for line in peer.stdout:
            if line.startswith("{"):
                return json.loads(line)
            if line.startswith(">"):
                peer.stdin.write(meter.frame(bytes.fromhex(line[1:]), interface).hex() + "\n")
                peer.stdin.flush()
        raise AssertionError(peer.stderr.read())


@pytest.mark.parametrize("interface", ["HDLC", "WRAPPER"])
@pytest.mark.parametrize("authentication", ["NONE", "LOW", "HIGH_GMAC"])
def test_a_client_of_another_making_reads_our_meter(gurux, interface, authentication):
    meter = Meter()
    found = talk(gurux, meter, interface, authentication)
    assert found["name"] == "OHM0000000000002"
    assert found["clock"].endswith("12:00:00")
    if authentication == "NONE":
        return
    assert (found["energy"], found["unit"]) == (1000 + ROWS - 1, 30)
    assert (found["rows"], found["last"]) == (ROWS, 1005)
    assert found["objects"] == 7
    if authentication == "HIGH_GMAC":
        assert (found["relay"], found["note"]) == (False, True)
        assert meter.relay.state is RelayState.DISCONNECTED
