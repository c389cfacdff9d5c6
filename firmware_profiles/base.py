"""What profiles share: the loaded data half, and registers at the profile's own resolution."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

from firmware_profiles import canonical
from firmware_profiles.codecs.number import with_scaler
from firmware_profiles.spec import load_spec
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import ProfileSpec
    from firmware_profiles.shape import Template
    from ohmesh.model.obis import Obis
    from ohmesh.model.reading import Reading, Register
    from ohmesh.model.unit import Unit

RegisterFor: TypeAlias = "Callable[[Obis, Unit], Register]"
"""OBIS code and unit of a value -> the register that it belongs to."""
_REGISTERS_MAX = 4096


class BaseProfile:
    """The data half of a profile; a profile derives from it and adds `decode` and `encode`."""

    def __init__(self, package: str) -> None:
        self._spec = load_spec(package)
        self.zone = ZoneInfo(self._spec.zone)
        self.register_for = lru_cache(maxsize=_REGISTERS_MAX)(self._register_for)

    @property
    def spec(self) -> ProfileSpec:
        """The data half."""
        return self._spec

    def _register_for(self, obis: Obis, unit: Unit) -> Register:
        """The canonical register of an OBIS code, at the resolution that this profile states."""
        register = canonical.register_for(obis, unit)
        own = self._spec.registers.get(register.channel)
        return register if own is None else with_scaler(register, own.scaler)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a telegram that `decode` accepted without keys, None when there is none.

        See `firmware_profiles.shape`.
        """
        del payload
        return None

    def own(self, reading: Reading) -> Register:
        """The profile's register for a reading to be encoded.

        Raises:
            ProfileError: the profile has no such channel, or another unit for it.
        """
        register = self._spec.registers.get(reading.register.channel)
        if register is None or register.unit is not reading.register.unit:
            raise ProfileError(f"{self._spec.name} has no channel {reading.register.channel}")
        return register


def integer_at(reading: Reading, exponent: int, *, largest: int) -> int:
    """The integer n with n x 10**exponent = the reading's quantity, for formats without a sign.

    Raises:
        ProfileError: the quantity is negative, above `largest`, or finer than 10**exponent.
    """
    shift = reading.register.scaler - exponent
    scale: int = 10 ** abs(shift)
    value, left = (reading.value * scale, 0) if shift >= 0 else divmod(reading.value, scale)
    if left or not 0 <= value <= largest:
        raise ProfileError(
            f"{reading.register.channel} = {reading.quantity} {reading.register.unit} "
            f"is no multiple of 10^{exponent} from 0 to {largest} of them"
        )
    return value
