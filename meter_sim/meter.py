"""A simulated meter: registers, load profile, relay, commands, the seal. Pure; time is given.

Theory of operation. `advance` closes every interval that has ended and gives a sealed report for
each; `execute` opens a sealed command, obeys it and gives the sealed result. Both change the state
and return messages; the driver makes the state durable (`snapshot`) before a message leaves, so
that a restart neither repeats a counter of the seal nor executes a command twice.

A command is executed at most once: its result is remembered by the command's id and repeated when
the id comes again. A relay command that is not newer than the last one executed is refused by the
fence, an expired one by its deadline. The deadline is compared with the clock of the head-end's
world; everything else happens in the meter's own time, which the calendar may speed up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from firmware_profiles.api import Report
from meter_sim.registers import WATT_MS_PER_WH, Registers, read_out
from ohmesh.model import relay
from ohmesh.model.command import (
    Command,
    CommandKind,
    CommandResult,
    RelayState,
    ResultStatus,
)
from ohmesh.model.errors import Malformed
from ohmesh.model.reading import Reading
from ohmesh.wire.metercommand import decode_command, encode_result
from ohmesh.wire.sealed import SealedKind, kind_of_command, seal, unseal

if TYPE_CHECKING:
    from firmware_profiles.api import Profile
    from meter_sim.household import Household

RESULTS_MAX = 64
"""Executed commands whose result a meter can repeat."""
_RELAY_EVENTS = {
    CommandKind.RELAY_OFF: relay.RelayEvent.REMOTE_DISCONNECT,
    CommandKind.RELAY_ON: relay.RelayEvent.REMOTE_RECONNECT,
}


class Priority(IntEnum):
    """How the mesh orders a message against others."""

    REPORT = 0
    RESULT = 3


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """What a meter is.

    Attributes:
        meter: its name in the head-end.
        address: its address at a gateway; sealed messages are bound to it.
        key: the key it shares with the head-end, 16 bytes.
        profile: what it speaks.
        interval_s: its load-profile interval.
        household: whose energy it counts.
    """

    meter: str
    address: str
    key: bytes
    profile: Profile
    interval_s: int
    household: Household


@dataclass(frozen=True, slots=True)
class Message:
    """A sealed message for the head-end.

    Attributes:
        payload: the bytes.
        priority: how the mesh orders it.
        readings: what it newly says, with the times of the readings; empty for a result.
    """

    payload: bytes
    priority: Priority
    readings: tuple[Reading, ...] = ()


class MeterState(msgspec.Struct):
    """All that a meter remembers over a restart.

    Attributes:
        registers: what it has counted.
        relay: its supply switch.
        counter: the next counter of the seal.
        read_ms: the moment of the last report.
        fence: sequence of the last relay command executed, -1 before the first.
        results: command id -> encoded result, oldest first.
        reports: reports produced so far.
        readings: values in them.
    """

    registers: Registers
    relay: RelayState
    counter: int = 0
    read_ms: int = 0
    fence: int = -1
    results: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    reports: int = 0
    readings: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MeterState)


class Meter:
    """One meter."""

    def __init__(self, config: MeterConfig, start_ms: int, snapshot: bytes | None = None) -> None:
        """Args: start_ms: when a new meter begins to count. snapshot: the state of an old one."""
        self.config = config
        self._interval_ms = config.interval_s * 1000
        spec = config.profile.spec
        self._reported = [spec.registers[channel] for channel in spec.reported]
        self._state = _decoder.decode(snapshot) if snapshot else self._new_state(start_ms)

    def _new_state(self, start_ms: int) -> MeterState:
        first_wms = self.config.household.first_wh * WATT_MS_PER_WH
        return MeterState(Registers(start_ms, first_wms), RelayState.CONNECTED, read_ms=start_ms)

    @property
    def relay(self) -> RelayState:
        """The supply switch as it reads back."""
        return self._state.relay

    @property
    def reports(self) -> int:
        """Reports produced since the first start."""
        return self._state.reports

    @property
    def readings(self) -> int:
        """Values in them."""
        return self._state.readings

    @property
    def at_ms(self) -> int:
        """The moment up to which it has counted."""
        return self._state.registers.at_ms

    @property
    def next_end_ms(self) -> int:
        """When the running interval ends; intervals end at multiples of their length."""
        return (self.at_ms // self._interval_ms + 1) * self._interval_ms

    def snapshot(self) -> bytes:
        """The state to keep; give it back to the constructor at the next start."""
        return _encoder.encode(self._state)

    def advance(self, now_ms: int) -> list[Message]:
        """Close all intervals that have ended; a sealed report for each."""
        messages = []
        while self.next_end_ms <= now_ms:
            self._count_to(self.next_end_ms)
            messages.append(self._report())
        return messages

    def power_up(self, now_ms: int) -> None:
        """After an outage of the meter itself: nothing was counted, no interval closed."""
        registers = self._state.registers
        registers.at_ms = max(registers.at_ms, now_ms)

    def execute(self, octets: bytes, now_ms: int, clock_s: int) -> list[Message]:
        """Obey a sealed command.

        Args:
            octets: what came down the mesh.
            now_ms: the meter's time, milliseconds since 1970.
            clock_s: the time by which the head-end reckons deadlines, seconds since 1970.

        Returns:
            Reports of intervals that ended meanwhile, and the result at the end.

        Raises:
            WireError: not a command for this meter; nothing happened.
        """
        opened = unseal(self.config.key, self.config.address, octets)
        command = decode_command(opened.body)
        if opened.kind is not kind_of_command(command.kind):
            raise Malformed(f"a {opened.kind.name} holds the command {command.kind.name}")
        moment_ms = max(now_ms // 1000 * 1000, self.at_ms)
        messages = self.advance(moment_ms)
        self._count_to(moment_ms)
        result = self._state.results.get(command.id)
        if result is None:
            status = self._obey(command, clock_s, messages)
            result = self._remember(command.id, status)
        messages.append(self._sealed(SealedKind.RESULT, result, Priority.RESULT))
        return messages

    def _obey(self, command: Command, clock_s: int, messages: list[Message]) -> ResultStatus:
        if clock_s > command.not_after_s:
            return ResultStatus.EXPIRED
        event = _RELAY_EVENTS.get(command.kind)
        if event is not None:
            if command.sequence <= self._state.fence:
                return ResultStatus.STALE
            self._state.fence = command.sequence
            self._state.relay = relay.after(self._state.relay, event)
        elif command.kind is CommandKind.READ_NOW:
            messages.append(self._report())
        elif command.kind is not CommandKind.RELAY_READ:
            return ResultStatus.UNSUPPORTED
        return ResultStatus.OK

    def _remember(self, command_id: bytes, status: ResultStatus) -> bytes:
        result = CommandResult(command_id, status, self._state.relay, self.at_ms // 1000)
        results = self._state.results
        results[command_id] = encode_result(result)
        if len(results) > RESULTS_MAX:
            del results[next(iter(results))]
        return results[command_id]

    def _count_to(self, moment_ms: int) -> None:
        connected = self._state.relay is RelayState.CONNECTED
        self._state.registers.advance(moment_ms, self.config.household, connected=connected)

    def _report(self) -> Message:
        """The registers now; readings of a moment that was reported before are nothing new."""
        registers = self._state.registers
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        readings = tuple(
            Reading(register, read_out(registers, register), time) for register in self._reported
        )
        new = readings if registers.at_ms > self._state.read_ms else ()
        self._state.read_ms = registers.at_ms
        self._state.reports += bool(new)
        self._state.readings += len(new)
        body = self.config.profile.encode(Report(self.config.meter, time, readings))
        return self._sealed(SealedKind.REPORT, body, Priority.REPORT, new)

    def _sealed(
        self, kind: SealedKind, body: bytes, priority: Priority, new: tuple[Reading, ...] = ()
    ) -> Message:
        counter = self._state.counter
        self._state.counter += 1
        payload = seal(self.config.key, self.config.address, kind, counter, body)
        return Message(payload, priority, new)
