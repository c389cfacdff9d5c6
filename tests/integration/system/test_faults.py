"""Faults in mid-run, each with an exact count at the end: nothing lost, nothing twice."""

from __future__ import annotations

import paho.mqtt.client
import paho.mqtt.publish

from meter_sim.demo import bench_port
from meter_sim.demo.records import BenchRecord, read_records


def publish(port, topic, payload):
    """One message of a stranger."""
    paho.mqtt.publish.single(
        topic, payload, qos=1, hostname="127.0.0.1", port=port, protocol=paho.mqtt.client.MQTTv5
    )


def assert_exact(verdict):
    assert verdict.expected > 0
    assert (verdict.stored, verdict.wrong, verdict.unknown, verdict.duplicates) == (
        verdict.expected,
        0,
        0,
        0,
    )


async def test_kill_9_of_each_program_in_turn(system):
    async with system() as s:
        await s.stored(24)
        for name in ("gw1", "headend", "gw2", "fleet", "ether", "headend", "gw1"):
            s.stack.kill(name)
            s.stack.restart(name)
            await s.stored(24)
        assert_exact(await s.settle())
        assert s.audit.quarantined() == 0


async def test_the_broker_loses_everything_it_holds(system):
    async with system() as s:
        await s.stored(24)
        for _ in range(3):
            s.stack.broker.stop()
            s.stack.broker.start()
            await s.stored(24)
        assert_exact(await s.settle())


async def test_the_database_crashes_and_stays_away(system):
    async with system() as s:
        await s.stored(24)
        s.audit.close()
        s.stack.database.crash()
        for _ in range(5):
            before = s.stack.truth.stat().st_size
            await s.until(
                "meters to go on", lambda size=before: s.stack.truth.stat().st_size > size
            )
        s.stack.check()  # nobody gave up
        s.stack.database.start()
        s.audit.reopen()
        await s.until("the head-end", s.headend.ready)
        assert_exact(await s.settle())


async def test_garbage_on_every_topic_and_hostile_telegrams(system):
    async with system() as s:
        await s.stored(24)
        good = list(read_records(None))
        hostile = [
            BenchRecord(f"hostile-{n}", "nl_dsmr", payload)
            for n, payload in enumerate((b"\x01\xff\x02", b"\0" * 5000, b"/" * 60_000))
        ]
        cut = [BenchRecord(f"cut-{r.meter}"[:64], r.profile, r.payload[:-7]) for r in good]
        for record in [*good, *cut, *hostile]:
            await s.headend.register_meter(record.meter, record.profile)
        sent = await bench_port.feed(s.stack.bench_port, [*good, *hostile, *cut])
        for topic in (
            "ohmesh/v1/gw/gw1/up",
            "ohmesh/v1/gw/gw1/ack",
            "ohmesh/v1/gw/gw1/down",
            "ohmesh/v1/gw/gw1/state",
            "ohmesh/v1/gw/nobody/up",
            "ohmesh/v1/meter/nobody/up",
            "ohmesh/air/1/tx/1",
            "ohmesh/air/1/rxp/gw1",
            "ohmesh/air/1/rxp/hello",
            "ohmesh/air/1/ctl/100",
            "ohmesh/air/1/status/x",
        ):
            for payload in (
                b"",
                b"\x02\x00",
                b"\x01\x00\x94",
                b"\x01\x01(\xb5/\xfd",
                b"\xff" * 3000,
            ):
                publish(s.stack.broker.port, topic, payload)
        publish(s.stack.broker.port, "ohmesh/v1/gw/gw1/up", bytes(9 * 1024 * 1024))
        await s.until("the telegrams", lambda: s.audit.telegrams() == sent)
        assert s.audit.telegrams_decoded() == len(good)
        await s.stored(24)
        assert_exact(await s.settle())
        s.stack.check()
