"""What a meter says to the head-end and hears from it, under the seal. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firmware_profiles.api import Report
from meter_sim.meterstate import Message, Priority
from meter_sim.registers import read_out
from ohmesh.model.errors import BadChecksum
from ohmesh.model.reading import Reading
from ohmesh.wire.sealed import Opened, SealedKind, seal, unseal

if TYPE_CHECKING:
    from meter_sim.meterstate import MeterConfig, MeterState
    from meter_sim.registers import Registers


class Speech:
    """The messages of one meter; counter and keys of the seal stand in the meter's state."""

    def __init__(self, config: MeterConfig, state: MeterState) -> None:
        self._config, self._state = config, state
        spec = config.profile.spec
        self._reported = [spec.registers[channel] for channel in spec.reported]

    @property
    def key(self) -> bytes:
        """Of the seal, the one in force."""
        return self._state.key or self._config.key

    def open(self, octets: bytes) -> Opened:
        """Under the key in force, or the one before until the head-end has used the new one.

        Raises: WireError: not for this meter.
        """
        state, address = self._state, self._config.address
        try:
            opened = unseal(self.key, address, octets)
        except BadChecksum:
            if not state.old_key:
                raise
            return unseal(state.old_key, address, octets)
        state.old_key = b""
        return opened

    def event(self, kind: str, **detail: int) -> Message:
        """An event: its kind, and what more there is to say about it."""
        body = json.dumps({"kind": kind} | detail).encode()
        return self._sealed(SealedKind.EVENT, body, Priority.EVENT)

    def result(self, result: bytes) -> Message:
        """A command's encoded result."""
        return self._sealed(SealedKind.RESULT, result, Priority.RESULT)

    def report(self) -> Message:
        """The registers now; readings of a moment that was reported before are nothing new."""
        registers = self._state.registers
        new = self._values(registers) if registers.at_ms > self._state.read_ms else ()
        self._state.read_ms = registers.at_ms
        self._state.reports += bool(new)
        self._state.readings += len(new)
        return self.report_of(registers, new)

    def report_of(self, registers: Registers, new: tuple[Reading, ...] = ()) -> Message:
        """Registers of any moment; `new`: those of its readings that were never said."""
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        report = Report(self._config.meter, time, new or self._values(registers))
        body = self._config.profile.encode(report)
        return self._sealed(SealedKind.REPORT, body, Priority.REPORT, new)

    def _values(self, registers: Registers) -> tuple[Reading, ...]:
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        return tuple(
            Reading(register, read_out(registers, register), time) for register in self._reported
        )

    def _sealed(
        self, kind: SealedKind, body: bytes, priority: Priority, new: tuple[Reading, ...] = ()
    ) -> Message:
        counter = self._state.counter
        self._state.counter += 1
        payload = seal(self.key, self._config.address, kind, counter, body)
        return Message(payload, priority, new)
