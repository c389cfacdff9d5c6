"""What the benchmark sends: telegrams of simulated meters, sealed as a mesh carries them."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meter_sim.capture.record import MQTT, Record
from meter_sim.household import Household
from meter_sim.meter import Meter, MeterConfig
from ohmesh.model.ids import Address, mesh_address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.api import Profile

START_MS = 1_767_225_600_000
INTERVAL_S = 900
_GATEWAYS = 20


def sealed_telegrams(profile: Profile, meters: int, intervals: int) -> Iterator[Telegram]:
    """Reports of a fleet, interval by interval."""
    fleet = [_meter(profile, node) for node in range(100, 100 + meters)]
    for number in range(1, intervals + 1):
        end_ms = START_MS + number * INTERVAL_S * 1000
        for meter in fleet:
            for message in meter.advance(end_ms):
                address = Address(meter.config.address)
                yield Telegram(TelegramKind.METER, "mesh", address, "", end_ms, message.payload)


def _meter(profile: Profile, node: int) -> Meter:
    config = MeterConfig(
        meter=f"M{node:04d}",
        address=mesh_address(node),
        key=random.Random(node).randbytes(16),  # noqa: S311 - a benchmark's, repeatable
        profile=profile,
        interval_s=INTERVAL_S,
        household=Household.of(1, node),
    )
    return Meter(config, START_MS)


def single_records(telegrams: list[Telegram]) -> Iterator[Record]:
    """One message a telegram, on topics of meters with a modem of their own; QoS 1."""
    for telegram in telegrams:
        channel = f"{MQTT} ohmesh/v1/meter/{telegram.meter}/up"
        yield Record(telegram.received_at_ms * 1000, channel, telegram.payload, 1)


def batch_records(telegrams: list[Telegram], rows: int = 50) -> Iterator[Record]:
    """The same in uplink batches of gateways; QoS 1."""
    ends = [0] * _GATEWAYS
    for number, start in enumerate(range(0, len(telegrams), rows)):
        batch, gateway = telegrams[start : start + rows], number % _GATEWAYS
        octets = encode_batch(f"gw{gateway}", 1, ends[gateway], batch)
        ends[gateway] += len(batch)
        at_us = batch[-1].received_at_ms * 1000
        yield Record(at_us, f"{MQTT} ohmesh/v1/gw/gw{gateway}/up", octets, 1)


def random_pace(records: list[Record], per_s: int, seed: int) -> Iterator[Record]:
    """The records at random distances (exponential), about so many a second."""
    dice = random.Random(seed)  # noqa: S311 - a benchmark's, repeatable
    at_us = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
    for record in records:
        at_us += round(dice.expovariate(per_s) * 1_000_000)
        yield Record(at_us, record.channel, record.payload, record.flags)
