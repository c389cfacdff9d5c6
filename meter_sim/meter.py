"""A simulated meter: registers, load profile, relay, commands, the seal. Pure; time is given.

Theory of operation. `advance` closes every interval that has ended and gives a sealed report for
each; `execute` opens a sealed command, obeys it and gives the sealed result. Both change the state
and return messages; the driver makes the state durable (`snapshot`) before a message leaves, so
that a restart neither repeats a counter of the seal nor executes a command twice. Power lost
between the deed and the snapshot leaves the state before the deed, and the command comes again;
the contact is driven to where that state wants it.

What a command does is in `orders`, what a meter says in `speech`. The deadline of a command is
compared with the clock of the head-end's world; everything else happens in the meter's own time,
which the calendar may speed up and which may drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from meter_sim import firmware, tokenslot
from meter_sim.contactor import Contactor
from meter_sim.flash import Flash, MemoryFlash
from meter_sim.household import SLOT_MS
from meter_sim.loadprofile import LoadProfile
from meter_sim.meterstate import Message, MeterConfig, MeterState, Priority
from meter_sim.orders import Orders
from meter_sim.registers import WATT_MS_PER_WH, Registers
from meter_sim.speech import Speech
from meter_sim.supply import Supply
from ohmesh.model.command import CommandKind, RelayState
from ohmesh.model.errors import Malformed
from ohmesh.wire import commandbody
from ohmesh.wire.metercommand import decode_command
from ohmesh.wire.sealed import kind_of_command

if TYPE_CHECKING:
    from meter_sim.tokenslot import KeypadAnswer
    from ohmesh.model.relay import RelayEvent

__all__ = ["Message", "Meter", "MeterConfig", "Priority"]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MeterState)


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
        self._state = _decoder.decode(snapshot) if snapshot else self._new_state(start_ms)
        self.flash = flash or MemoryFlash()
        self._profile = LoadProfile(self.flash, self._interval_ms)
        switch = contactor or Contactor(self._state.relay is RelayState.CONNECTED)
        self._supply = Supply(config, self._state, switch)
        self._speech = Speech(config, self._state)
        self._orders = Orders(
            config,
            self._state,
            supply=self._supply,
            flash=self.flash,
            profile=self._profile,
            speech=self._speech,
        )

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
            messages.append(self._speech.report())
            messages += self._tamper()
        return messages

    def notice(self, kind: str, **detail: int) -> Message:
        """Tell an event: its kind, and what more there is to say about it."""
        return self._speech.event(kind, **detail)

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
        opened = self._speech.open(octets)
        command = decode_command(opened.body)
        if opened.kind is not kind_of_command(command.kind):
            raise Malformed(f"a {opened.kind.name} holds the command {command.kind.name}")
        if command.kind is CommandKind.FIRMWARE_BLOCK:
            firmware.take_block(self._state.firmware, self.flash, command)
            return []
        moment_ms = max(now_ms // 1000 * 1000, self.at_ms)
        messages = self.advance(moment_ms)
        self._count_to(moment_ms + self._state.drift_ms)
        return messages + self._orders.obey(command, clock_s)

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
