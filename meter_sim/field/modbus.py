"""Modbus meters on one line: the registers of a map, by RTU or TCP."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from firmware_profiles import canonical
from firmware_profiles.codecs.crc import crc16_modbus
from firmware_profiles.modbus.profile import load_map
from meter_sim.field.reports import registers_of
from meter_sim.registers import WATT_MS_PER_WH
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firmware_profiles.codecs.modbus.map import Point, RegisterMap
    from meter_sim.registers import Registers

_REQUEST_BYTES = 6
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_COUNT_MAX = 125
_DIGITS_DROPPED_MAX = 12
_CONSTANTS = {Unit.V: (2301, -1), Unit.HZ: (4999, -2), Unit.A: (87, -1)}
"""What a simulated meter shows where its household says nothing."""
_SUNSPEC_START = 40_000


def map_names() -> list[str]:
    """The register maps that a simulated meter may have."""
    folder = files("firmware_profiles.modbus").joinpath("maps")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir())


def shown(registers: Registers, point: Point) -> tuple[int, int]:
    """Mantissa and exponent of what a meter shows at a point, in the point's base unit."""
    channel = canonical.register_for(point.obis, point.unit, 0).channel
    if channel == "el.energy.import":
        return registers.import_wms // WATT_MS_PER_WH, 0
    if channel == "el.energy.export":
        return registers.export_wms // WATT_MS_PER_WH, 0
    if channel == "el.power.net":
        return registers.net_w, 0
    return _CONSTANTS.get(point.unit, (0, 0))


def image(map_: RegisterMap, registers: Registers, start: int = 0) -> dict[int, int]:
    """Register address -> word; numbers lose digits until they fit their register."""
    words: dict[int, int] = {}
    for point in map_.points:
        octets = _fitted(map_, point, *shown(registers, point))
        for index in range(point.words):
            words[start + point.address + index] = int.from_bytes(
                octets[2 * index : 2 * index + 2], "big"
            )
        if point.scale_at is not None:
            words[start + point.scale_at] = 0
    return words


def _fitted(map_: RegisterMap, point: Point, mantissa: int, exponent: int) -> bytes:
    for dropped in range(_DIGITS_DROPPED_MAX):
        octets = map_.write(point, mantissa // 10**dropped, exponent + dropped)
        if octets is not None:
            return octets
    return bytes(2 * point.words)


class ModbusResponder:
    """The units of one line."""

    period_s: float | None = None

    def __init__(
        self,
        maps: Mapping[int, str],
        *,
        clock_ms: Callable[[], int],
        seed: int = 1,
        tcp: bool = False,
        dead: frozenset[int] = frozenset(),
    ) -> None:
        """Args: maps: unit id -> name of its map. dead: units that never answer."""
        self._maps = {unit: load_map(name) for unit, name in maps.items()}
        self._clock_ms = clock_ms
        self._seed = seed
        self._tcp = tcp
        self.dead = dead
        self._heard = b""
        self.requests: dict[int, int] = {}
        """Unit id -> how often it was asked."""

    def speak(self) -> bytes:
        """A Modbus meter never does."""
        return b""

    def receive(self, octets: bytes, baud: int | None) -> bytes:  # noqa: ARG002 - any speed
        """Answer every whole request."""
        self._heard += octets
        return self._receive_tcp() if self._tcp else self._receive_rtu()

    def _receive_rtu(self) -> bytes:
        answers = b""
        while len(self._heard) >= _REQUEST_BYTES + 2:
            frame = self._heard[: _REQUEST_BYTES + 2]
            if crc16_modbus(frame) != 0:
                self._heard = self._heard[1:]  # noise: a request may begin at the next byte
                continue
            self._heard = self._heard[len(frame) :]
            if answer := self._answer(frame[:-2]):
                answers += answer + crc16_modbus(answer).to_bytes(2, "little")
        return answers

    def _receive_tcp(self) -> bytes:
        answers = b""
        while len(self._heard) >= 6:
            end = 6 + int.from_bytes(self._heard[4:6], "big")
            if len(self._heard) < end:
                break
            head, body = self._heard[:4], self._heard[6:end]
            self._heard = self._heard[end:]
            if answer := self._answer(body):
                answers += head + len(answer).to_bytes(2, "big") + answer
        return answers

    def _answer(self, body: bytes) -> bytes:
        unit, function = body[0], body[1]
        if unit not in self._maps:
            return b""
        self.requests[unit] = self.requests.get(unit, 0) + 1
        if unit in self.dead:
            return b""
        map_ = self._maps[unit]
        first, count = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
        if function != map_.function:
            return bytes((unit, function | 0x80, _ILLEGAL_FUNCTION))
        if not 1 <= count <= _COUNT_MAX:
            return bytes((unit, function | 0x80, _ILLEGAL_VALUE))
        words = self._words(unit, map_)
        if first < min(words) or first + count - 1 > max(words):
            return bytes((unit, function | 0x80, _ILLEGAL_ADDRESS))
        data = b"".join(words.get(a, 0).to_bytes(2, "big") for a in range(first, first + count))
        return bytes((unit, function, len(data))) + data

    def _words(self, unit: int, map_: RegisterMap) -> dict[int, int]:
        registers = registers_of(f"unit-{unit}", self._clock_ms(), seed=self._seed)
        if not map_.sunspec:
            return image(map_, registers)
        model = map_.sunspec[-1]
        start = _SUNSPEC_START + 2
        length = 105 if model < 210 else 124
        words = dict.fromkeys(range(start, start + length + 2), 0)
        words |= image(map_, registers, start)
        words |= {_SUNSPEC_START: 0x5375, _SUNSPEC_START + 1: 0x6E53, start: model}
        words |= {start + 1: length, start + length + 2: 0xFFFF, start + length + 3: 0}
        return words
