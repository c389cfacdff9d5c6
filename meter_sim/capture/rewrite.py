"""Give the parties of a record other names, wherever they stand in it. Pure.

Fan-out and anonymising are the same walk with another `Names`: topics, uplink batches, downlink
messages, reports of the mesh and lines of a bench port hold names; a telegram's own bytes are
handed to `Names.telegram`. A record of none of these is handed to `Names.foreign`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import msgspec

from meter_sim.capture.benchline import BenchLine, decode_line, encode_line
from meter_sim.capture.record import BENCH, MQTT
from ohmesh.model.errors import WireError
from ohmesh.model.ids import Address, GatewayId, MeterId
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.downlink import decode_down, encode_down
from ohmesh.wire.report import (
    PowerReport,
    Route,
    TopologyReport,
    decode_power,
    decode_topology,
    encode_report,
)
from ohmesh.wire.uplink import decode_batch, encode_batch

if TYPE_CHECKING:
    from meter_sim.capture.record import Record

_GATEWAY_LEVELS, _METER_LEVELS = ["ohmesh", "v1", "gw"], ["ohmesh", "v1", "meter"]


class Names(Protocol):
    """What becomes of names and of what only their owner can read."""

    def gateway(self, name: str) -> str:
        """The other name of a gateway."""
        ...

    def meter(self, name: str) -> str:
        """The other name of a meter or of its address at a gateway."""
        ...

    def node(self, number: int) -> int:
        """The other number of a mesh node; agrees with `meter` of its mesh address."""
        ...

    def telegram(self, telegram: Telegram) -> bytes:
        """The payload to carry under the telegram's new address, which it has already."""
        ...

    def received_ms(self, at_ms: int) -> int:
        """The receive time to carry."""
        ...

    def epoch(self, epoch: int) -> int:
        """The identity of the outbox to carry."""
        ...

    def foreign(self, record: Record) -> Record:
        """A record that is no message of ours."""
        ...


def rewrite(record: Record, names: Names) -> Record:
    """The record under other names."""
    try:
        if record.kind == BENCH:
            return _bench(record, names)
        if record.kind == MQTT:
            return _mqtt(record, names)
    except WireError:
        pass  # not ours after all
    return names.foreign(record)


def _bench(record: Record, names: Names) -> Record:
    line = decode_line(record.payload)
    received_ms = line.received_at_ms
    telegram = Telegram(
        TelegramKind.METER,
        BENCH,
        Address(names.meter(line.meter)),
        line.profile,
        0 if received_ms is None else names.received_ms(received_ms),
        line.payload,
    )
    payload_hex = names.telegram(telegram).hex()
    at_ms = None if received_ms is None else telegram.received_at_ms
    again = encode_line(BenchLine(telegram.meter, line.profile, payload_hex, at_ms))
    return msgspec.structs.replace(record, channel=f"{BENCH} {telegram.meter}", payload=again)


def _mqtt(record: Record, names: Names) -> Record:
    levels = record.place.split("/")
    if len(levels) == 5 and levels[:3] == _GATEWAY_LEVELS:
        gateway = names.gateway(levels[3])
        place = topics.gateway_topic(GatewayId(gateway), levels[4])
        payload = _of_gateway(levels[4], record.payload, names)
    elif len(levels) == 5 and levels[:3] == _METER_LEVELS:
        meter = names.meter(levels[3])
        place = topics.meter_topic(MeterId(meter))
        direct = Telegram(TelegramKind.METER, "direct", Address(meter), "", 0, record.payload)
        payload = names.telegram(direct)
    else:
        return names.foreign(record)
    return msgspec.structs.replace(record, channel=f"{MQTT} {place}", payload=payload)


def _of_gateway(channel: str, octets: bytes, names: Names) -> bytes:
    """What stands on a gateway's topic; acknowledgements and states hold no name."""
    if channel == "up":
        batch = decode_batch(octets)
        telegrams = [_telegram(telegram, names) for telegram in batch.telegrams()]
        return encode_batch(
            names.gateway(batch.gateway), names.epoch(batch.epoch), batch.first_seq, telegrams
        )
    if channel == "down":
        down = decode_down(octets)
        return encode_down(msgspec.structs.replace(down, meter=names.meter(down.meter)))
    return octets


def _telegram(telegram: Telegram, names: Names) -> Telegram:
    address = Address(names.meter(telegram.meter)) if telegram.meter else telegram.meter
    at_ms = names.received_ms(telegram.received_at_ms)
    renamed = replace(telegram, meter=address, received_at_ms=at_ms)
    if telegram.kind is TelegramKind.TOPOLOGY:
        return replace(renamed, payload=_topology(telegram.payload, names))
    if telegram.kind is TelegramKind.POWER:
        return replace(renamed, payload=_power(telegram.payload, names))
    if telegram.kind is TelegramKind.DELIVERY:
        return renamed  # a command's random id and a status
    return replace(renamed, payload=names.telegram(renamed))


def _power(octets: bytes, names: Names) -> bytes:
    report = decode_power(octets)
    return encode_report(PowerReport(report.restored, [names.node(n) for n in report.nodes]))


def _topology(octets: bytes, names: Names) -> bytes:
    report = decode_topology(octets)
    routes = [
        Route(names.node(r.node), names.node(r.parent), r.etx_128ths, r.hops) for r in report.routes
    ]
    return encode_report(TopologyReport(names.node(report.root), routes))
