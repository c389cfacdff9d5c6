"""A whole meter of a DLMS profile, read by a client: registers, load profile, switch."""

from datetime import UTC, datetime, timedelta

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.acse import Mechanism
from firmware_profiles.codecs.dlms.apdu import Target
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.clock import date_time_bytes
from firmware_profiles.codecs.dlms.device import (
    INVOCATION_COUNTER,
    LOAD_PROFILE,
    LOGICAL_DEVICE_NAME,
    build_device,
)
from firmware_profiles.codecs.dlms.follower import Follower
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from ohmesh.model.command import RelayState

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
NAMES = ["kr_dlms", "in_is15959", "za_gh_sts"]
INTERVALS = 500


def value(channel, now):
    return int((now - NOW).total_seconds()) // 60 + len(channel)


class Bench:
    """A meter and the line to it."""

    def __init__(self, name):
        self.profile = registry.load(name)
        self.now = NOW
        challenges = iter(range(1, 1000))
        settings = ServerSettings(
            keys=KEYS,
            title=b"OHM\0\0\0\0\2",
            challenge=lambda: next(challenges).to_bytes(16, "big"),
            pdu_max=512,
        )
        self.device = build_device(
            self.profile.spec,
            meter="OHM0000000000002",
            zone=self.profile.zone,
            value=value,
            counter=lambda: self.server.client_counter,
        )
        self.server = Server(self.device.objects, settings)

    def line(self, apdu):
        return self.server.receive(apdu, self.now)

    def live(self):
        """Pass the intervals, with a capture at the end of each."""
        for _ in range(INTERVALS):
            self.now += timedelta(seconds=self.profile.spec.interval_s)
            self.device.profile.capture(self.now)

    def client(self, counter):
        client = Client(
            ClientSettings(
                Mechanism.HIGH_GMAC,
                keys=KEYS,
                title=b"OHC\0\0\0\0\1",
                control=0x30,
                counter=counter,
                challenge=b"client challenge",
            )
        )
        run(client.associate(), self.line)
        return client


def next_counter(bench):
    """What a client does first: anybody may read the counter that it has to exceed."""
    public = Client(ClientSettings())
    run(public.associate(), bench.line)
    assert run(public.get(Target(1, LOGICAL_DEVICE_NAME, 2)), bench.line) == b"OHM0000000000002"
    counter = run(public.get(Target(1, INVOCATION_COUNTER, 2)), bench.line)
    run(public.release(), bench.line)
    return counter + 1


@pytest.mark.parametrize("name", NAMES)
def test_a_load_profile_becomes_the_readings_that_the_meter_made(name):
    bench = Bench(name)
    spec, zone = bench.profile.spec, bench.profile.zone
    bench.live()
    client = bench.client(next_counter(bench))
    follower = Follower(LOAD_PROFILE, history_s=INTERVALS * spec.interval_s)
    clock = axdr.octets(date_time_bytes(bench.now, zone))
    found = []
    while rows := run(follower.read(client, clock), bench.line):
        found += [reading for row in rows for reading in bench.profile.decode(row).readings]
        follower.kept()
    ends = [NOW + timedelta(seconds=spec.interval_s * n) for n in range(1, INTERVALS + 1)]
    wanted = [
        (spec.registers[channel], value(channel, end), end)
        for end in ends
        for channel in spec.reported
    ]
    assert [(r.register, r.value, r.time) for r in found] == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_register_is_read_with_its_unit(name):
    bench = Bench(name)
    client = bench.client(1)
    for channel, register in bench.profile.spec.registers.items():
        if channel == "relay.state":
            continue
        assert run(client.get(Target(3, register.obis, 2)), bench.line) == len(channel)
        scaler, _ = run(client.get(Target(3, register.obis, 3)), bench.line)
        assert scaler == register.scaler


@pytest.mark.parametrize("name", NAMES)
def test_sessions_follow_each_other_with_rising_counters(name):
    bench = Bench(name)
    relay = Target(70, bench.profile.spec.registers["relay.state"].obis, 1)
    for wanted in (RelayState.DISCONNECTED, RelayState.DISCONNECTED):
        client = bench.client(next_counter(bench))
        run(client.act(relay, axdr.int8(0)), bench.line)
        assert bench.device.relay.state is wanted
        run(client.release(), bench.line)
    assert next_counter(bench) == client.counter
