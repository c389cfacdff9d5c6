"""A simulated meter: registers, load profile, relay, commands, the seal. Pure; time is given.

Theory of operation. `advance` closes every interval that has ended and gives a sealed report for
each; `execute` opens a sealed command, obeys it and gives the sealed result. Both change the state
and return messages; the driver makes the state durable (`snapshot`) before a message leaves, so
that a restart neither repeats a counter of the seal nor executes a command twice. Power lost
between the deed and the snapshot leaves the state before the deed, and the command comes again;
the contact is driven to where that state wants it.

A command is executed at most once: its result is remembered by the command's id and repeated when
the id comes again. What sets something (relay, clock, tariff, key, firmware) is refused by a fence
when it is not newer than the last of its kind; a token is judged by its TID instead, so that two
that were paid for may come in any order. The deadline is compared with the clock of the head-end's
world; everything else happens in the meter's own time, which the calendar may speed up and which
may drift.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from firmware_profiles.api import Report
from meter_sim import firmware, tokenslot
from meter_sim.contactor import Contactor
from meter_sim.flash import Flash, MemoryFlash
from meter_sim.household import SLOT_MS
from meter_sim.loadprofile import LoadProfile
from meter_sim.meterstate import Message, MeterConfig, MeterState, Priority
from meter_sim.registers import WATT_MS_PER_WH, Registers, read_out
from meter_sim.supply import Supply
from ohmesh.model.command import (
    Command,
    CommandKind,
    CommandResult,
    RelayState,
    ResultStatus,
    digest,
)
from ohmesh.model.errors import BadChecksum, Malformed, WireError
from ohmesh.model.reading import Reading
from ohmesh.model.relay import RelayEvent
from ohmesh.wire import commandbody
from ohmesh.wire.metercommand import decode_command, encode_result
from ohmesh.wire.sealed import KEY_BYTES, Opened, SealedKind, kind_of_command, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.tokenslot import KeypadAnswer

__all__ = ["RESULTS_MAX", "Message", "Meter", "MeterConfig", "Priority"]
RESULTS_MAX = 64
"""Executed commands whose result a meter can repeat."""
CLOCK_S = range(946_684_800, 4_102_444_800)
"""2000 to 2100: what a clock can be set to."""
_RELAY_EVENTS = {
    CommandKind.RELAY_OFF: RelayEvent.REMOTE_DISCONNECT,
    CommandKind.RELAY_ON: RelayEvent.REMOTE_RECONNECT,
}
_FENCED = frozenset(
    {
        CommandKind.CLOCK_SET,
        CommandKind.TARIFF_SET,
        CommandKind.KEY_CHANGE,
        CommandKind.FIRMWARE,
    }
)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MeterState)
_Answer = tuple[ResultStatus, bytes]


@dataclass(frozen=True, slots=True)
class _Order:
    """A command that is carried out: with the head-end's time, and where reports go."""

    command: Command
    clock_s: int
    messages: list[Message]


class Meter:
    """One meter."""

    def __init__(
        self,
        config: MeterConfig,
        start_ms: int,
        snapshot: bytes | None = None,
        *,
        flash: Flash | None = None,
        contactor: Contactor | None = None,
    ) -> None:
        """A meter under power.

        Args:
            config: what it is.
            start_ms: when a new meter begins to count.
            snapshot: the state of an old one.
            flash: its big memory, written with the state; its own without.
            contactor: its switch, as the last power cut left it.
        """
        self.config = config
        self._interval_ms = config.interval_s * 1000
        spec = config.profile.spec
        self._reported = [spec.registers[channel] for channel in spec.reported]
        self._state = _decoder.decode(snapshot) if snapshot else self._new_state(start_ms)
        self.flash = flash or MemoryFlash()
        self._profile = LoadProfile(self.flash, self._interval_ms)
        switch = contactor or Contactor(self._state.relay is RelayState.CONNECTED)
        self._supply = Supply(config, self._state, switch)
        self._deeds: dict[CommandKind, Callable[[_Order], _Answer]] = {
            CommandKind.RELAY_OFF: self._obey_relay,
            CommandKind.RELAY_ON: self._obey_relay,
            CommandKind.RELAY_READ: self._obey_read,
            CommandKind.READ_NOW: self._obey_read,
            CommandKind.CLOCK_SET: self._obey_clock,
            CommandKind.LOAD_PROFILE_READ: self._obey_profile,
            CommandKind.TARIFF_SET: self._obey_tariff,
            CommandKind.TOKEN_ENTER: self._obey_token,
            CommandKind.KEY_CHANGE: self._obey_key,
            CommandKind.FIRMWARE: self._obey_firmware,
        }

    def _new_state(self, start_ms: int) -> MeterState:
        config, at_ms = self.config, start_ms + self.config.drift_ms
        first_wms = config.household.first_wh * WATT_MS_PER_WH
        state = MeterState(Registers(at_ms, first_wms), RelayState.CONNECTED, read_ms=at_ms)
        state.drift_ms = config.drift_ms
        state.tokens.key = config.decoder_key
        if config.prepaid:
            state.relay = RelayState.READY_FOR_RECONNECTION  # without credit
        return state

    @property
    def relay(self) -> RelayState:
        """The supply switch as it reads back."""
        return self._supply.read_back

    @property
    def control_state(self) -> RelayState:
        """Where the meter's control wants its switch."""
        return self._state.relay

    @property
    def contactor(self) -> Contactor:
        """The switch itself."""
        return self._supply.contactor

    @property
    def reports(self) -> int:
        """Reports produced since the first start."""
        return self._state.reports

    @property
    def readings(self) -> int:
        """Values in them."""
        return self._state.readings

    @property
    def credit(self) -> int:
        """What tokens brought and nobody used yet, tenths of a kWh."""
        return self._state.tokens.credit

    @property
    def token_status(self) -> tokenslot.GatewayStatus:
        """What the last token came to."""
        return self._state.tokens.status

    @property
    def firmware_version(self) -> int:
        """Of the firmware that runs; 0 as delivered."""
        return self._state.firmware.version

    @property
    def rates_wh(self) -> tuple[int, ...]:
        """Drawn at each rate since the meter was new."""
        return tuple(wms // WATT_MS_PER_WH for wms in self._state.rates_wms)

    @property
    def at_ms(self) -> int:
        """The moment up to which it has counted, in the calendar's time."""
        return self._state.registers.at_ms - self._state.drift_ms

    @property
    def next_end_ms(self) -> int:
        """When the running interval ends, in the calendar's time; see `_next_end_ms`."""
        return self._next_end_ms - self._state.drift_ms

    @property
    def _next_end_ms(self) -> int:
        """By the meter's own clock; intervals end at multiples of their length."""
        at_ms = max(self._state.registers.at_ms, self._state.closed_ms)
        return (at_ms // self._interval_ms + 1) * self._interval_ms

    def snapshot(self) -> bytes:
        """The state to keep; give it back to the constructor at the next start."""
        return _encoder.encode(self._state)

    def advance(self, now_ms: int) -> list[Message]:
        """Close all intervals that have ended; a sealed report for each, and what was noticed."""
        messages = []
        while self.next_end_ms <= now_ms:
            self._count_to(self._next_end_ms)
            self._state.closed_ms = self._state.registers.at_ms
            self._profile.keep(self._state.registers)
            messages.append(self._report())
            messages += self._tamper()
        return messages

    def notice(self, kind: str, **detail: int) -> Message:
        """Tell an event: its kind, and what more there is to say about it."""
        body = json.dumps({"kind": kind} | detail).encode()
        return self._sealed(SealedKind.EVENT, body, Priority.EVENT)

    def power_up(self, now_ms: int) -> None:
        """After an outage of the meter itself: nothing was counted, no interval closed."""
        registers = self._state.registers
        registers.at_ms = max(registers.at_ms, now_ms + self._state.drift_ms)

    def press(self, now_ms: int) -> RelayState:
        """The customer presses the button: an armed supply comes on. The state read back."""
        self._count_to(now_ms + self._state.drift_ms)
        self._supply.press()
        return self.relay

    def switch(self, event: RelayEvent, now_ms: int) -> RelayState:
        """Somebody beside the mesh moves the switch, if its mode lets them. The state read back."""
        self._count_to(now_ms + self._state.drift_ms)
        self._supply.switch(event)
        return self.relay

    def enter_token(self, digits: str, now_ms: int) -> tokenslot.GatewayStatus:
        """A token at the token gateway, where nobody guesses. Raises Malformed: it takes none."""
        self._need_tokens()
        self._count_to(now_ms + self._state.drift_ms)
        tokenslot.enter(self._state.tokens, digits)
        self._supply.follow_credit()
        return self.token_status

    def key_in(self, digits: str, now_ms: int) -> KeypadAnswer:
        """A token at the keypad; its deed and its TID are in the next snapshot, both or neither.

        Raises: Malformed: this meter takes no tokens.
        """
        self._need_tokens()
        moment_ms = now_ms + self._state.drift_ms
        self._count_to(moment_ms)
        answer = tokenslot.key_in(self._state.tokens, digits, moment_ms)
        self._supply.follow_credit()
        return answer

    def _need_tokens(self) -> None:
        if not self._state.tokens.key:
            raise Malformed(f"the meter {self.config.meter} takes no tokens")

    def execute(self, octets: bytes, now_ms: int, clock_s: int) -> list[Message]:
        """Obey a sealed command.

        Args:
            octets: what came down the mesh.
            now_ms: the calendar's time, milliseconds since 1970.
            clock_s: the time by which the head-end reckons deadlines, seconds since 1970.

        Returns:
            Reports of intervals that ended meanwhile, and the result at the end.

        Raises:
            WireError: not a command for this meter; nothing happened.
        """
        opened = self._open(octets)
        command = decode_command(opened.body)
        if opened.kind is not kind_of_command(command.kind):
            raise Malformed(f"a {opened.kind.name} holds the command {command.kind.name}")
        if command.kind is CommandKind.FIRMWARE_BLOCK:
            firmware.take_block(self._state.firmware, self.flash, command)
            return []
        moment_ms = max(now_ms // 1000 * 1000, self.at_ms)
        messages = self.advance(moment_ms)
        self._count_to(moment_ms + self._state.drift_ms)
        result = self._state.results.get(command.id)
        if result is None:
            status, proof = self._judge(command, clock_s, messages)
            result = self._result(command.id, status, proof)
        messages.append(self._sealed(SealedKind.RESULT, result, Priority.RESULT))
        return messages

    def _open(self, octets: bytes) -> Opened:
        """Under the key in force, or the one before until the head-end has used the new one."""
        state, address = self._state, self.config.address
        try:
            opened = unseal(self._key, address, octets)
        except BadChecksum:
            if not state.old_key:
                raise
            return unseal(state.old_key, address, octets)
        state.old_key = b""
        return opened

    @property
    def _key(self) -> bytes:
        return self._state.key or self.config.key

    def _judge(self, command: Command, clock_s: int, messages: list[Message]) -> _Answer:
        """What everybody is asked first: in time, and newer than the last of its kind."""
        if clock_s > command.not_after_s:
            return ResultStatus.EXPIRED, b""
        state, kind = self._state, command.kind
        if kind in _RELAY_EVENTS and command.sequence <= state.fence:
            return ResultStatus.STALE, b""
        going_on = kind is CommandKind.FIRMWARE and command.id == state.firmware.ident
        newest = command.sequence > state.fences.get(kind, -1)
        if kind in _FENCED and not newest and not going_on:
            return ResultStatus.STALE, b""
        try:
            return self._obey(command, clock_s, messages)
        except WireError:
            return ResultStatus.REFUSED, b""

    def _obey(self, command: Command, clock_s: int, messages: list[Message]) -> _Answer:
        fences, kind = self._state.fences, command.kind
        if kind in _FENCED:
            fences[kind] = max(command.sequence, fences.get(kind, -1))
        deed = self._deeds.get(kind)
        if deed is None:
            return ResultStatus.UNSUPPORTED, b""
        return deed(_Order(command, clock_s, messages))

    def _obey_read(self, order: _Order) -> _Answer:
        if order.command.kind is CommandKind.READ_NOW:
            order.messages.append(self._report())
        return ResultStatus.OK, b""

    def _obey_relay(self, order: _Order) -> _Answer:
        self._state.fence = order.command.sequence
        self._supply.switch(_RELAY_EVENTS[order.command.kind])
        return ResultStatus.OK, b""

    def _obey_profile(self, order: _Order) -> _Answer:
        """Rows that are there; they are sent once, however often the command comes."""
        period = commandbody.decode_period(order.command.body)
        ends = (period.to_s - period.from_s) // self.config.interval_s
        if ends > commandbody.LOAD_PROFILE_ROWS_MAX:
            return ResultStatus.REFUSED, b""
        rows = [self._report_of(registers, ()) for registers in self._profile.rows(period)]
        order.messages.extend(rows)
        return ResultStatus.OK, len(rows).to_bytes(2, "big")

    def _obey_clock(self, order: _Order) -> _Answer:
        wanted_s = order.command.argument
        if wanted_s not in CLOCK_S:
            return ResultStatus.REFUSED, b""
        self._set_clock((wanted_s - order.clock_s) * 1000)
        return ResultStatus.OK, b""

    def _obey_tariff(self, order: _Order) -> _Answer:
        self._state.tariff = commandbody.decode_tariff(order.command.body).encode()
        return ResultStatus.OK, digest(self._state.tariff)

    def _obey_token(self, order: _Order) -> _Answer:
        tokens = self._state.tokens
        if not tokens.key:
            return ResultStatus.UNSUPPORTED, b""
        verdict = tokenslot.enter(tokens, commandbody.decode_token(order.command.body))
        self._supply.follow_credit()
        status = ResultStatus.OK if verdict in tokenslot.ACCEPTED else ResultStatus.REFUSED
        return status, commandbody.TokenVerdict(verdict, tokens.credit).encode()

    def _obey_key(self, order: _Order) -> _Answer:
        key = order.command.body
        if len(key) != KEY_BYTES:
            return ResultStatus.REFUSED, b""
        if key != self._key:
            self._state.old_key, self._state.key = self._key, key
        return ResultStatus.OK, b""

    def _obey_firmware(self, order: _Order) -> _Answer:
        if not self.config.maker_key:
            return ResultStatus.UNSUPPORTED, b""
        state = self._state.firmware
        return firmware.obey_offer(state, self.flash, order.command, self.config.maker_key)

    def _set_clock(self, drift_ms: int) -> None:
        """Go on at another time: what is skipped is not counted, what was closed stays closed."""
        registers = self._state.registers
        registers.at_ms += drift_ms - self._state.drift_ms
        self._state.drift_ms = drift_ms
        self._state.read_ms = min(self._state.read_ms, registers.at_ms)

    def _result(self, command_id: bytes, status: ResultStatus, proof: bytes) -> bytes:
        """The encoded result, remembered when it is the last word."""
        at_s = self._state.registers.at_ms // 1000
        result = encode_result(CommandResult(command_id, status, self.relay, at_s, proof))
        if status is not ResultStatus.IN_PROGRESS:
            results = self._state.results
            results[command_id] = result
            if len(results) > RESULTS_MAX:
                del results[next(iter(results))]
        return result

    def _count_to(self, moment_ms: int) -> None:
        """Count on, rate by rate: rates change at the ends of slots alone."""
        state, registers = self._state, self._state.registers
        table = commandbody.decode_tariff(state.tariff) if state.tariff else None
        while registers.at_ms < moment_ms:
            until_ms = min(moment_ms, (registers.at_ms // SLOT_MS + 1) * SLOT_MS)
            rate = table.rate_at(registers.at_ms // 1000) if table else commandbody.RATES[0]
            before_wms = registers.import_wms
            feeds = self.contactor.feeds
            registers.advance(until_ms, self.config.household, connected=feeds)
            self._supply.use(registers.import_wms - before_wms, rate)

    def _tamper(self) -> list[Message]:
        """One event for an interval in which power was drawn although the supply is off."""
        drawn_wh = self._supply.tampered_wh()
        if not drawn_wh:
            return []
        return [self.notice("usage_while_off", wh=drawn_wh)]

    def _report(self) -> Message:
        """The registers now; readings of a moment that was reported before are nothing new."""
        registers = self._state.registers
        new = self._values(registers) if registers.at_ms > self._state.read_ms else ()
        self._state.read_ms = registers.at_ms
        self._state.reports += bool(new)
        self._state.readings += len(new)
        return self._report_of(registers, new)

    def _values(self, registers: Registers) -> tuple[Reading, ...]:
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        return tuple(
            Reading(register, read_out(registers, register), time) for register in self._reported
        )

    def _report_of(self, registers: Registers, new: tuple[Reading, ...]) -> Message:
        time = datetime.fromtimestamp(registers.at_ms // 1000, UTC)
        report = Report(self.config.meter, time, new or self._values(registers))
        body = self.config.profile.encode(report)
        return self._sealed(SealedKind.REPORT, body, Priority.REPORT, new)

    def _sealed(
        self, kind: SealedKind, body: bytes, priority: Priority, new: tuple[Reading, ...] = ()
    ) -> Message:
        counter = self._state.counter
        self._state.counter += 1
        payload = seal(self._key, self.config.address, kind, counter, body)
        return Message(payload, priority, new)
