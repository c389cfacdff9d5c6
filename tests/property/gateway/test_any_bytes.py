"""Whatever arrives on a topic, a port or in a file: an answer or a log line, never a crash."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.downlink import Downlink, MeshCommand
from gateway.drivers.bench import parse_line
from gateway.outbox import Outbox, OutboxSettings
from gateway.sending import Sender, SendingLimits
from gateway.uplink import Uplink
from ohmesh.model.errors import ModelError
from ohmesh.model.ids import GatewayId
from ohmesh.wire.report import DeliveryReport, decode_delivery, encode_report
from ohmesh.wire.uplink import encode_ack

packed = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
).map(lambda value: b"\x01\x00" + msgspec.msgpack.encode(value))
any_bytes = st.binary(max_size=200) | packed
almost_a_command = st.tuples(
    st.binary(min_size=14, max_size=17), st.text(max_size=70), st.integers(-5, 2**41), st.integers()
).map(lambda fields: b"\x01\x00" + msgspec.msgpack.encode([*fields[:3], fields[3] % 7, b"x"]))


class Refusing:
    """A guard that says no."""

    def refusal(self, _message, _now_s):
        return "not today"


@given(any_bytes | almost_a_command)
@settings(max_examples=500)
def test_any_command(octets):
    decision = Downlink(mesh_payload_max=140, guard=Refusing()).receive(1_000, octets)
    assert decision is None or isinstance(decision, MeshCommand | DeliveryReport)
    if isinstance(decision, DeliveryReport):
        assert decode_delivery(encode_report(decision)) == decision


@given(any_bytes)
@settings(max_examples=500)
def test_any_bench_line(octets):
    with contextlib.suppress(ModelError):
        parse_line(octets, 0)


@given(
    st.lists(
        any_bytes
        | st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)).map(
            lambda fields: encode_ack(*fields)
        ),
        max_size=20,
    )
)
@settings(max_examples=40)
def test_any_acknowledgement(messages):
    """Nothing was sent, so nothing can be acknowledged."""

    async def run(folder):
        settings = OutboxSettings(Path(folder) / "outbox.db", 1 << 20, 0)
        outbox = await Outbox.open(settings, clock_ms=lambda: 0)
        uplink = Uplink(GatewayId("gw1"), outbox, Sender(SendingLimits()))
        for octets in messages:
            uplink.take_ack(octets)
        assert outbox.state.acked_through == 0
        await outbox.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
