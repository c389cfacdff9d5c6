"""The mesh through a radio modem on a port: no broker carries the air."""

from __future__ import annotations

import random
import time

import pytest

from gateway.drivers.modem import HEARD, SEND, SlipReader, slip
from meter_sim.field.server import serve_pty
from ohmesh.mesh import Station, StationConfig, Transmit
from ohmesh.model.ids import mesh_address

NET, DIVISOR, RSSI_DBM = 1, 20, -61
NODES = range(100, 103)


def now_ms():
    return time.monotonic_ns() // 1_000_000


class ModemRoom:
    """A modem with meters that all hear each other."""

    period_s = 0.005

    def __init__(self):
        self._reader = SlipReader()
        self._air = []
        self.meters = {
            node: Station(
                StationConfig(node=node, net=NET, is_root=False, epoch=0, timer_divisor=DIVISOR),
                random.Random(node),
            )
            for node in NODES
        }
        for node, meter in self.meters.items():
            self.carry_out(node, meter.start(now_ms()))

    def carry_out(self, node, outputs):
        self._air += [(node, output.frame) for output in outputs if isinstance(output, Transmit)]

    def receive(self, octets, _):
        for content in self._reader.feed(octets):
            assert content[0] == SEND
            self._hear(None, content[1:])
        return self.speak()

    def speak(self):
        for node, meter in self.meters.items():
            due_ms = meter.next_wake_ms
            if due_ms is not None and due_ms <= now_ms():
                self.carry_out(node, meter.wake(now_ms()))
        frames, self._air = self._air, []
        for sender, frame in frames:
            self._hear(sender, frame)
        head = bytes((HEARD, RSSI_DBM & 0xFF))
        return b"modem ready\r\n" * bool(frames) + b"".join(slip(head + f) for _, f in frames)

    def _hear(self, sender, frame):
        for node, meter in self.meters.items():
            if node != sender:
                self.carry_out(node, meter.receive(now_ms(), frame, RSSI_DBM))


async def test_readings_go_up_once_through_a_modem(tmp_path, gateway_process, head_end, wait_until):
    room = ModemRoom()
    async with serve_pty(room, tmp_path / "modem") as line:
        gateway_process(
            MESH__ENABLED="true",
            MESH__TIMER_DIVISOR=str(DIVISOR),
            MESH__MODEM=str(line),
            BENCH__ENABLED="false",
        )
        assert await wait_until(lambda: all(meter.joined for meter in room.meters.values()))
        sent = {(node, b"%d:%d" % (node, n)) for node in NODES for n in range(10)}
        for node, octets in sent:
            room.carry_out(node, room.meters[node].submit(now_ms(), octets))
        assert await wait_until(lambda: len(head_end.payloads()) >= len(sent))
    rows = [t for t in head_end.rows.values() if t.meter]
    assert {(t.meter, t.payload) for t in rows} == {(mesh_address(n), p) for n, p in sent}
    assert len(rows) == len(sent)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_slip_in_any_pieces(size):
    contents = [bytes(range(256)), b"\xc0\xdb\xdc\xdd" * 5, b"x"]
    stream = b"noise\xdb" + b"".join(map(slip, contents)) + b"\xc0\xc0tail"
    reader = SlipReader()
    found = [c for at in range(0, len(stream), size) for c in reader.feed(stream[at : at + size])]
    assert found == contents
    assert reader.dropped == 1
    assert reader.feed(bytes(5000)) == []
    assert reader.feed(slip(b"again")) == [b"again"]
