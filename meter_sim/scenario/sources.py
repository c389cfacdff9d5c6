"""The meters of a fed scenario: what they measure, what they send. Pure and seeded.

Everything follows from the scenario: loads are dealt by a seeded shuffle, keys are made of the
seed (they protect nothing), telegrams carry the calendar's time. So the same seed gives the same
telegrams on every machine.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from firmware_profiles import registry
from firmware_profiles.api import Report
from meter_sim.capture.telegrams import bench_record
from meter_sim.household import SLOT_MS, Household
from meter_sim.registers import Registers, read_out
from meter_sim.scenario import loads
from meter_sim.scenario.model import LoadKind
from meter_sim.scenario.outcome import Key
from ohmesh.model.errors import ConfigError, DecodeError, ProfileError
from ohmesh.model.reading import Reading
from ohmesh.wire.sealed import SealedKind, seal

if TYPE_CHECKING:
    from pathlib import Path

    from firmware_profiles.api import Profile
    from meter_sim.capture.record import Record
    from meter_sim.scenario.loads import Curve, Gas, Water
    from meter_sim.scenario.model import Load, Scenario
    from ohmesh.model.reading import Register

ELECTRICITY = "el.energy.import"
GAS, WATER = "gas.volume", "water.volume"
_PEAK_W = {LoadKind.PV: 5000, LoadKind.HEAT_PUMP: 2500, LoadKind.EV: 11_000}
_ANNUAL_KWH = 3500
_REGION = "DE"
_ML_PER_M3 = 1_000_000


@dataclass(slots=True)
class FluidCounter:
    """A volume that only grows, in millilitres."""

    flow: Gas | Water
    at_ms: int
    total_ml: int

    def advance(self, to_ms: int) -> None:
        """Count the whole slots up to a moment."""
        while self.at_ms + SLOT_MS <= to_ms:
            self.total_ml += self.flow.ml(self.at_ms // SLOT_MS)
            self.at_ms += SLOT_MS


@dataclass(slots=True)
class Source:
    """One meter.

    Attributes:
        meter: its name and address.
        profile: what it speaks.
        feeder: where it hangs, from 1 on.
        load: what its customer really draws.
        seen: what it sees of that.
        registers: what it has counted.
        fluid: the gas or water counter behind it.
        channels: what it reports.
        key: of its seal; None when its telegrams are plain.
        prepaid: its customer pays beforehand.
        is_feeder: it stands at the transformer.
        clock_ms: how far its clock is ahead.
        drift_ms_per_day: how much further it gets each day.
        first_wms: what it showed in the beginning, watt x milliseconds.
    """

    meter: str
    profile: Profile
    feeder: int
    load: Curve
    seen: Curve
    registers: Registers
    channels: list[Register]
    fluid: FluidCounter | None = None
    key: bytes | None = None
    prepaid: bool = False
    is_feeder: bool = False
    clock_ms: int = 0
    drift_ms_per_day: int = 0
    first_wms: int = 0
    _counter: int = 0
    _stamped: bool | None = None

    def pass_time(self, to_ms: int, *, dark: bool) -> None:
        """Let it count up to a moment; in the dark it stands still."""
        self.registers.advance(to_ms, self.seen, connected=not dark)
        if self.fluid is not None:
            self.fluid.advance(to_ms)

    def stamp_ms(self, at_ms: int, start_ms: int) -> int:
        """Its own clock's time, whole seconds."""
        drift_ms = self.drift_ms_per_day * (at_ms - start_ms) // 86_400_000
        return (at_ms + self.clock_ms + drift_ms) // 1000 * 1000

    def telegram(self, at_ms: int, stamp_ms: int) -> tuple[Record, dict[Key, Decimal]]:
        """What it sends now, and the readings in it."""
        time = datetime.fromtimestamp(stamp_ms // 1000, UTC)
        readings = tuple(Reading(r, self._value(r), time) for r in self.channels)
        body = self.profile.encode(Report(self.meter, time, readings))
        stored_at = time if self._stamps(body) else datetime.fromtimestamp(at_ms // 1000, UTC)
        values = {
            Key(self.meter, r.register.channel, stored_at): Decimal(r.value).scaleb(
                r.register.scaler
            )
            for r in readings
        }
        return bench_record(
            self.meter, self.profile.spec.name, self._seal(SealedKind.REPORT, body), at_ms * 1000
        ), values

    def event(self, kind: str, at_ms: int) -> Record:
        """What it tells of something that has happened: a millisecond later, under its seal."""
        body = self._seal(SealedKind.EVENT, json.dumps({"kind": kind}).encode())
        return bench_record(self.meter, self.profile.spec.name, body, (at_ms + 1) * 1000)

    def _value(self, register: Register) -> int:
        if register.channel in {GAS, WATER} and self.fluid is not None:
            scaler = register.scaler
            return int(Decimal(self.fluid.total_ml).scaleb(-scaler) / _ML_PER_M3)
        return read_out(self.registers, register)

    def _stamps(self, body: bytes) -> bool:
        """Whether its telegrams carry a time; looked up once."""
        if self._stamped is None:
            said = self.profile.decode(body)
            self._stamped = said.time is not None or all(r.time for r in said.readings)
        return self._stamped

    def _seal(self, kind: SealedKind, body: bytes) -> bytes:
        if self.key is None:
            return body
        self._counter += 1
        return seal(self.key, self.meter, kind, self._counter, body)


@dataclass(slots=True)
class Fleet:
    """All meters of a scenario, and the dice for faults."""

    sources: list[Source]
    dice: Random


def build_fleet(scenario: Scenario, folder: Path) -> Fleet:
    """The meters. Args: folder: where relative paths of curves begin. Raises ConfigError."""
    plan = scenario.fleet
    dice = Random(f"{scenario.name}/{scenario.seed}")  # noqa: S311 - repeatable on purpose
    numbers = list(range(1, plan.meters + 1))
    dealt = _deal(scenario, dice, numbers)
    sources = [_source(scenario, number, dealt.get(number, []), folder) for number in numbers]
    if plan.feeder_meters:
        sources += [_feeder(scenario, sources, feeder) for feeder in range(1, plan.feeders + 1)]
    for source in sources:
        _check(source)
    return Fleet(sources, dice)


def _deal(scenario: Scenario, dice: Random, numbers: list[int]) -> dict[int, list[Load]]:
    """Loads by meter; each kind is dealt over an order of its own."""
    dealt: dict[int, list[Load]] = {}
    for load in scenario.load:
        order = dice.sample(numbers, len(numbers))
        count = load.meters or round(len(numbers) * (load.share_percent or 0) / 100)
        for number in order[:count]:
            dealt.setdefault(number, []).append(load)
    return dealt


def _source(scenario: Scenario, number: int, has: list[Load], folder: Path) -> Source:
    plan = scenario.fleet
    profile = registry.load(plan.profiles[(number - 1) % len(plan.profiles)])
    household = Household.of(scenario.seed, number)
    load = _curve(household, has, profile, folder)
    stolen = next((one.percent for one in has if one.kind is LoadKind.THEFT), None)
    seen = load if stolen is None else loads.PastTheMeter(load, round(stolen))
    start_ms = round(plan.start.timestamp() * 1000)
    meter = f"M{number:04d}"
    fluid, channels = _fluid(has, household, profile, start_ms)
    return Source(
        meter=meter,
        profile=profile,
        feeder=(number - 1) % plan.feeders + 1,
        load=load,
        seen=seen,
        registers=Registers(start_ms, household.first_wh * 3_600_000),
        channels=channels,
        fluid=fluid,
        key=_key(scenario, meter) if plan.sealed or number <= plan.prepaid else None,
        prepaid=number <= plan.prepaid,
        first_wms=household.first_wh * 3_600_000,
    )


def _key(scenario: Scenario, meter: str) -> bytes:
    """A key of a simulation; it keeps no secret."""
    return hashlib.sha256(f"{scenario.name}/{scenario.seed}/{meter}".encode()).digest()[:16]


def _curve(household: Household, has: list[Load], profile: Profile, folder: Path) -> Curve:
    base: Curve = household
    extra: list[Curve] = []
    for number, load in enumerate(has):
        seed = household.seed + number
        if load.kind is LoadKind.EMPTY:
            base = loads.Empty()
        elif load.kind is LoadKind.MEASURED:
            base = loads.Measured.read(folder / str(load.path), load.column or "consumption_kw")
        elif load.kind is LoadKind.STANDARD:
            kwh = load.annual_kwh or _ANNUAL_KWH
            zone, region = ZoneInfo(profile.spec.zone), load.region or _REGION
            base = loads.Standard.read(folder / str(load.path), kwh, zone, region)
        elif load.kind in _PEAK_W:
            extra.append(_device(load, seed))
    return loads.Sum((base, *extra)) if extra else base


def _device(load: Load, seed: int) -> Curve:
    peak_w = load.peak_w or _PEAK_W[load.kind]
    if load.kind is LoadKind.PV:
        return loads.Pv(seed, peak_w)
    return (
        loads.HeatPump(seed, peak_w) if load.kind is LoadKind.HEAT_PUMP else loads.Ev(seed, peak_w)
    )


def _fluid(
    has: list[Load], household: Household, profile: Profile, start_ms: int
) -> tuple[FluidCounter | None, list[Register]]:
    spec = profile.spec
    electric = [spec.registers[channel] for channel in spec.reported]
    for load in has:
        if load.kind is LoadKind.GAS:
            flow: Gas | Water = loads.Gas(household.seed)
            return FluidCounter(flow, start_ms, 10**9), [*electric, _register(profile, GAS)]
        if load.kind in {LoadKind.WATER, LoadKind.WATER_LEAK}:
            flow = loads.Water(household.seed, 1000 * (load.litres_per_h or 0))
            return FluidCounter(flow, start_ms, 10**8), [_register(profile, WATER)]
    return None, electric


def _register(profile: Profile, channel: str) -> Register:
    register = profile.spec.registers.get(channel)
    if register is None:
        raise ConfigError(f"meters of the profile {profile.spec.name} have no {channel}")
    return register


def _feeder(scenario: Scenario, sources: list[Source], feeder: int) -> Source:
    """A meter at the transformer: it sees what is really drawn."""
    below = tuple(source.load for source in sources if source.feeder == feeder)
    start_ms = round(scenario.fleet.start.timestamp() * 1000)
    profile = registry.load(scenario.fleet.profiles[0])
    total = loads.Sum(below)
    return Source(
        meter=f"F{feeder}",
        profile=profile,
        feeder=feeder,
        load=total,
        seen=total,
        registers=Registers(start_ms, 0),
        channels=[profile.spec.registers[channel] for channel in profile.spec.reported],
        is_feeder=True,
    )


def _check(source: Source) -> None:
    """Raises ConfigError when the profile cannot say what the meter is to report."""
    try:
        source.telegram(source.registers.at_ms, source.registers.at_ms)
    except (ProfileError, DecodeError, KeyError) as error:
        names = ", ".join(register.channel for register in source.channels)
        name = source.profile.spec.name
        raise ConfigError(
            f"the profile {name} cannot send {names or 'anything'}: {error}"
        ) from error
