"""What a meter keeps of its intervals: a ring of rows in its flash, the oldest written over."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from meter_sim.registers import Registers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.flash import Flash
    from ohmesh.wire.commandbody import Period

ROWS = 4_320
"""45 days of quarter-hours."""
_AREA = "profile"
_ROW = struct.Struct(">QQQi")


class LoadProfile:
    """The rows of one meter."""

    def __init__(self, flash: Flash, interval_ms: int) -> None:
        self._flash = flash
        self._interval_ms = interval_ms

    def keep(self, registers: Registers) -> None:
        """Keep the registers at the end of an interval."""
        r = registers
        octets = _ROW.pack(r.at_ms, r.import_wms, r.export_wms, r.net_w)
        self._flash.put(_AREA, self._slot(r.at_ms), octets)

    def rows(self, period: Period) -> Iterator[Registers]:
        """The registers at the ends in a period that are still there, oldest first."""
        step_ms = self._interval_ms
        first_ms = (period.from_s * 1000 // step_ms + 1) * step_ms
        for end_ms in range(first_ms, period.to_s * 1000 + 1, step_ms):
            octets = self._flash.get(_AREA, self._slot(end_ms))
            if octets is not None and _ROW.unpack(octets)[0] == end_ms:
                yield Registers(*_ROW.unpack(octets))

    def _slot(self, end_ms: int) -> int:
        return end_ms // self._interval_ms % ROWS
