"""The uplink batches of a fleet of thousands of meters, made before anything is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from firmware_profiles.api import Report
from meter_sim.capture.record import MQTT, Record
from ohmesh.model.ids import Address
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.api import Profile

BATCH_ROWS = {"aligned": 500, "jittered": 50}
_WH_A_DAY = 9600


class Burst(StrEnum):
    """When meters speak within an interval."""

    ALIGNED = "aligned"
    """All at its end: the worst that a head-end sees."""
    JITTERED = "jittered"
    """Spread evenly over the next one, as meters are told to."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A fleet and when it speaks.

    Attributes:
        meters, gateways: how many; meters are dealt out in turn.
        profile: what they speak.
        interval_s: load-profile interval.
        burst: when they speak.
        rounds: intervals.
        end_ms: END of the first interval, milliseconds since 1970.
        epoch: identity of all outboxes; another one for each run.
        seed: of the order in which meters speak.
    """

    meters: int
    gateways: int
    profile: Profile
    interval_s: int
    burst: Burst
    rounds: int
    end_ms: int
    epoch: int
    seed: int = 1

    @property
    def telegrams(self) -> int:
        """In all rounds together."""
        return self.meters * self.rounds


def meter_name(number: int) -> str:
    """Meter 0, 1 ..."""
    return f"L{number:07d}"


def gateway_name(number: int) -> str:
    """Gateway 0, 1 ..."""
    return f"load{number:04d}"


def batches(plan: LoadPlan) -> Iterator[Record]:
    """All uplink messages, round by round, in the order and at the times of sending."""
    sent = [0] * plan.gateways
    for number in range(plan.rounds):
        end_ms = plan.end_ms + number * plan.interval_s * 1000
        yield from _round(plan, end_ms, sent)


def _round(plan: LoadPlan, end_ms: int, sent: list[int]) -> Iterator[Record]:
    rows = BATCH_ROWS[plan.burst.value]
    calls = [
        (gateway, start)
        for gateway in range(plan.gateways)
        for start in range(gateway, plan.meters, plan.gateways * rows)
    ]
    Random(plan.seed).shuffle(calls)  # noqa: S311 - repeatable on purpose
    step_us = plan.interval_s * 1_000_000 // max(1, len(calls))
    for number, (gateway, start) in enumerate(calls):
        meters = range(start, plan.meters, plan.gateways)[:rows]
        telegrams = [_telegram(plan, meter, end_ms) for meter in meters]
        name = gateway_name(gateway)
        octets = encode_batch(name, plan.epoch, sent[gateway], telegrams)
        sent[gateway] += len(telegrams)
        later_us = number * step_us if plan.burst is Burst.JITTERED else 0
        yield Record(end_ms * 1000 + later_us, f"{MQTT} ohmesh/v1/gw/{name}/up", octets, 1)


def _telegram(plan: LoadPlan, meter: int, end_ms: int) -> Telegram:
    name = meter_name(meter)
    time = datetime.fromtimestamp(end_ms // 1000, UTC)
    wh = 1_000_000 + meter * 17 + end_ms // 1000 % 86_400_000 * _WH_A_DAY // 86_400
    registers = [plan.profile.spec.registers[channel] for channel in plan.profile.spec.reported]
    readings = tuple(
        Reading(register, wh // 10**register.scaler if register.scaler > 0 else wh, time)
        for register in registers
    )
    payload = plan.profile.encode(Report(name, time, readings))
    profile = plan.profile.spec.name
    return Telegram(TelegramKind.METER, "load", Address(name), profile, end_ms, payload)
