"""The registers of a simulated meter and how they grow: integers, exact to the milliwatt-second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from meter_sim.household import SLOT_MS
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ohmesh.model.reading import Register

WATT_MS_PER_WH = 3_600_000


class Customer(Protocol):
    """Whoever draws and feeds behind a meter."""

    def net_w(self, slot: int) -> int:
        """Mean power in a slot (milliseconds since 1970 // SLOT_MS), negative when fed in."""
        ...


class Registers(msgspec.Struct):
    """What the meter has counted up to a moment.

    Attributes:
        at_ms: that moment, milliseconds since 1970.
        import_wms: drawn from the grid, watt x milliseconds.
        export_wms: fed into it.
        net_w: power at that moment, negative when fed in.
    """

    at_ms: int
    import_wms: int
    export_wms: int = 0
    net_w: int = 0

    def advance(self, to_ms: int, household: Customer, *, connected: bool) -> None:
        """Count on to a moment; a disconnected household neither draws nor feeds."""
        while self.at_ms < to_ms:
            slot = self.at_ms // SLOT_MS
            until_ms = min(to_ms, (slot + 1) * SLOT_MS)
            self.net_w = household.net_w(slot) if connected else 0
            energy_wms = self.net_w * (until_ms - self.at_ms)
            self.import_wms += max(energy_wms, 0)
            self.export_wms += max(-energy_wms, 0)
            self.at_ms = until_ms


_VALUES: dict[str, Callable[[Registers], tuple[int, int]]] = {
    "el.energy.import": lambda r: (r.import_wms, WATT_MS_PER_WH),
    "el.energy.export": lambda r: (r.export_wms, WATT_MS_PER_WH),
    "el.power.import": lambda r: (max(r.net_w, 0), 1),
    "el.power.export": lambda r: (max(-r.net_w, 0), 1),
}
"""Channel -> its value as a fraction (numerator, denominator) in the channel's base unit."""


def check_channels(registers: list[Register]) -> None:
    """Raises ConfigError for a channel that a simulated meter has no value for."""
    for register in registers:
        if register.channel not in _VALUES:
            known = ", ".join(sorted(_VALUES))
            raise ConfigError(f"simulated meters have no {register.channel}; they have {known}")


def read_out(registers: Registers, register: Register) -> int:
    """The integer value of a register: rounded down to what its scaler can show, as meters do."""
    numerator, denominator = _VALUES[register.channel](registers)
    coarser, finer = 10 ** max(register.scaler, 0), 10 ** max(-register.scaler, 0)
    return int(numerator * finer // (denominator * coarser))
