"""Modbus meters: exchanges of register reads, told apart by their registers.

The telegram is a row of exchanges, request and answer. SunSpec meters are known by their model's
header; others by a register map that has a value at the function and address of the request. Maps
that contradict each other at an address belong into different profiles.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.modbus import frame
from firmware_profiles.codecs.modbus.map import RegisterMap, parse_map
from firmware_profiles.codecs.number import reading as number_reading
from firmware_profiles.modbus import sunspec
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firmware_profiles.api import Keys, Report
    from firmware_profiles.codecs.modbus.map import Point
    from ohmesh.model.reading import Reading

_MAPS = "firmware_profiles.modbus"
_SUNSPEC = ("sunspec_meter_int", "sunspec_meter_float")
_GENERIC = (
    "eastron_sdm",
    "schneider_iem3000",
    "abb_b",
    "janitza_umg96",
    "siemens_pac",
    "socomec_countis_e",
)
_UNIT_DEFAULT, _UNIT_MAX = 1, 247


@cache
def load_map(name: str) -> RegisterMap:
    """A register map of this package. Raises ProfileError."""
    path = files(_MAPS).joinpath("maps", f"{name}.toml")
    return parse_map(f"{name}.toml", path.read_text(encoding="utf-8"))


class Modbus(BaseProfile):
    """A profile over register maps; see `firmware_profiles.api.Profile`."""

    def __init__(self, package: str, maps: tuple[str, ...]) -> None:
        super().__init__(package)
        self._maps = tuple(load_map(name) for name in maps)
        sunspec_maps = (load_map(name) for name in _SUNSPEC)
        self._sunspec = {model: found for found in sunspec_maps for model in found.sunspec}

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode exchanges. Raises DecodeError.

        An answer alone is taken for one from the first register of the first map, when that map is
        read by its function.
        """
        del keys
        blocks = merged(frame.decode(payload, verify=verify))
        readings: list[Reading] = []
        texts: dict[str, str] = {}
        for block in blocks:
            found = list(self._readings(block))
            readings += found
            name = "?" if block.address is None else str(block.address)
            if block.refusal is not None:
                texts[f"refusal.{block.function}.{name}"] = str(block.refusal)
            elif not found:
                texts[f"{block.function}.{name}"] = block.data.hex()
        return Decoded({"unit": str(blocks[0].unit)}, tuple(readings), None, texts)

    def encode(self, report: Report) -> bytes:
        """Exchanges with a simulated meter of the first map. Raises ProfileError.

        The unit id is the meter's id when that is one, else 1.
        """
        decimal = report.meter.isascii() and report.meter.isdecimal() and len(report.meter) <= 3
        number = int(report.meter) if decimal else 0
        unit = number if 1 <= number <= _UNIT_MAX else _UNIT_DEFAULT
        return frame.encode(tuple(self._block(unit, reading) for reading in report.readings))

    def _readings(self, block: frame.Block) -> Iterable[Reading]:
        for map_, data, address in self._sources(block):
            for point, number in map_.read(data, address):
                yield number_reading(self.register_for(point.obis, point.unit), number)

    def _sources(self, block: frame.Block) -> Iterable[tuple[RegisterMap, bytes, int]]:
        """The maps for a block, with the registers and the first address that they count from."""
        models = list(sunspec.models(block.data))
        if models:
            return [(self._sunspec[model], data, 0) for model, data in models]
        maps = [map_ for map_ in self._maps if map_.function == block.function]
        if block.address is None:
            maps = [map_ for map_ in maps if map_ is self._maps[0]]
            return [(map_, block.data, map_.points[0].address) for map_ in maps]
        return [(map_, block.data, block.address) for map_ in maps]

    def _block(self, unit: int, reading: Reading) -> frame.Block:
        point = self._point(reading)
        data = self._maps[0].write(point, reading.value, reading.register.scaler)
        if data is None:
            raise ProfileError(
                f"{reading.register.channel} = {reading.quantity} does not fit {point.kind.name}"
            )
        return frame.Block(unit, self._maps[0].function, point.address, data)

    def _point(self, reading: Reading) -> Point:
        register = self.own(reading)
        for point in self._maps[0].points:
            if (point.obis, point.unit) == (register.obis, register.unit):
                return point
        raise ProfileError(f"{self._maps[0].name} has no register for {register.channel}")


def merged(blocks: tuple[frame.Block, ...]) -> list[frame.Block]:
    """Blocks joined where one goes on with the registers of the one before."""
    joined = [blocks[0]]
    for block in blocks[1:]:
        last = joined[-1]
        end = None if last.address is None else last.address + len(last.data) // 2
        same = (block.unit, block.function) == (last.unit, last.function)
        if same and last.data and block.data and block.address == end:
            data = last.data + block.data
            joined[-1] = frame.Block(last.unit, last.function, last.address, data)
        else:
            joined.append(block)
    return joined


def profile() -> Modbus:
    """The entry point."""
    return Modbus("firmware_profiles.modbus", _GENERIC)
