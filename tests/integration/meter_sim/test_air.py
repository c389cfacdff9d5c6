"""Meters, radio and mesh on a real broker: whatever dies, all that was produced arrives."""

from __future__ import annotations

import signal

from meter_sim.servers.process import stop
from ohmesh.wire import topics
from ohmesh.wire.air import Hello, encode_air
from ohmesh.wire.aircontrol import AirAction


async def test_every_reading_arrives_and_is_what_the_meter_counted(network):
    network.fleet()
    await network.until(lambda: network.counted("joined") == 10)
    await network.until(lambda: network.counted("reports") >= 30)
    expected = await network.everything_arrived()
    assert len(expected) >= 60
    assert network.counted("alive") == network.counted("meters") == 10


async def test_garbage_on_every_topic_of_the_air_harms_nothing(network):
    network.fleet()
    await network.until(lambda: network.counted("reports") >= 10)
    net, node = network.roster.net, network.roster.meters[0].node
    strange = Hello("x" * 64, [1, 2, 3, 4_000_000_000])
    for garbage in (b"", b"\0", b"\xff" * 600, b"{}", bytes(9000), b"\x01\x01" + b"(\xb5/\xfd" * 9):
        for topic in (
            topics.air_tx(net, node),
            topics.air_tx(net, 99999),
            f"ohmesh/air/{net}/tx/everybody",
            topics.air_rx(net, "fleet-1-of-1"),
            topics.air_hello(net),
            topics.air_ctl(net, node),
            topics.air_ctl(net, 0),
            f"ohmesh/air/{net}/ctl/-1",
            topics.air_status(net, "fleet-1-of-1"),
        ):
            network.client.send(topic, garbage)
    network.client.send(topics.air_hello(net), encode_air(strange))
    await network.until(lambda: network.counted("reports") >= 30)
    await network.everything_arrived()


async def test_a_fleet_that_is_killed_and_started_again_loses_nothing(network, tmp_path):
    words = ("--state-dir", tmp_path / "meters")
    for round_ in range(1, 3):
        fleet = network.fleet(*words)
        await network.until(lambda wanted=round_ * 20: network.counted("reports") >= wanted)
        fleet.send_signal(signal.SIGKILL)
        fleet.wait()
        network.statuses.clear()
    network.fleet(*words)
    await network.until(lambda: network.counted("reports") >= 60)
    expected = await network.everything_arrived()
    ends = sorted({end for _, _, end in expected})
    assert len(expected) == 2 * 10 * len(ends)  # no interval is missing at any meter
    assert (ends[-1] - ends[0]).total_seconds() == 900 * (len(ends) - 1)


async def test_a_broker_that_comes_back_empty_stops_nothing(network):
    network.fleet()
    await network.until(lambda: network.counted("reports") >= 20)
    network.broker.stop()
    await network.until(lambda: network.logs().count("no broker at") >= 2)
    network.broker.start()
    network.statuses.clear()
    await network.until(lambda: network.counted("reports") >= 40)
    await network.everything_arrived()


async def test_an_ether_that_is_killed_and_started_again_is_found_by_all(network):
    network.fleet()
    await network.until(lambda: network.counted("reports") >= 20)
    network.programs[0].kill()
    network.programs[0].wait()
    before = len(network.received)
    network.spawn("ether")
    await network.until(lambda: len(network.received) >= before + 20)
    await network.everything_arrived()


async def test_a_node_is_killed_and_revived_by_order(network):
    network.fleet()
    await network.until(lambda: network.counted("joined") == 10)
    victim, stopped = (meter.node for meter in network.roster.meters[4:6])
    network.order(victim, AirAction.KILL)
    network.order(stopped, AirAction.KILL, meter=True)
    await network.until(lambda: network.counted("alive") == 8)
    reports = network.counted("reports")
    await network.until(lambda: network.counted("reports") >= reports + 9)
    network.order(victim, AirAction.REVIVE)
    network.order(stopped, AirAction.REVIVE)
    await network.until(lambda: network.counted("joined") == 10)
    expected = await network.everything_arrived()
    per_meter = {
        meter.node: sum(name == meter.meter for name, _, _ in expected)
        for meter in network.roster.meters
    }
    assert per_meter[victim] == max(per_meter.values())
    assert per_meter[stopped] < per_meter[victim]


async def test_a_fleet_told_to_stop_ends_in_good_order(network, tmp_path):
    fleet = network.fleet("--state-dir", tmp_path / "meters")
    await network.until(lambda: network.counted("reports") >= 20)
    stop(fleet)
    assert fleet.returncode == 0
    lines = network.truth_file.read_bytes()
    assert lines.endswith(b"\n")
    assert len(network.truth()) >= 40
    network.statuses.clear()
    network.fleet("--state-dir", tmp_path / "meters")
    await network.until(lambda: network.counted("reports") >= 30)
    assert network.truth_file.read_bytes().startswith(lines)
    await network.everything_arrived()


async def test_two_processes_share_a_roster(network, tmp_path):
    words = ("--state-dir", tmp_path / "meters")
    network.spawn("fleet", "--part", "1/2", "--truth", tmp_path / "1.jsonl", *words)
    network.spawn("fleet", "--part", "2/2", "--truth", tmp_path / "2.jsonl", *words)
    await network.until(lambda: network.counted("joined") == 10)
    assert {s.meters for s in network.statuses.values()} == {5}
    await network.until(lambda: network.counted("reports") >= 40)
    await network.stop_meters()
    await network.until(lambda: len(network.received) >= network.counted("reports"))
    network.truth_file.write_bytes(b"".join(p.read_bytes() for p in tmp_path.glob("[12].jsonl")))
    assert network.stored().items() >= network.truth().items()


async def test_a_second_fleet_on_the_same_memory_is_refused(network, tmp_path):
    words = ("--state-dir", tmp_path / "meters")
    network.fleet(*words)
    await network.until(lambda: network.counted("reports") >= 10)
    second = network.fleet(*words)
    await network.until(lambda: second.poll() is not None)
    assert second.returncode == 1
    assert "another fleet runs these meters" in network.logs()
