"""How a meter obeys commands: each at most once, none late, nothing older than what was set. Pure.

Theory of operation. A command's result is remembered by the command's id and repeated when the id
comes again. What sets something (relay, clock, tariff, key, firmware) is refused by a fence when it
is not newer than the last of its kind; a token is judged by its TID instead, so that two that were
paid for may come in any order. The deadline is compared with the clock of the head-end's world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim import firmware, tokenslot
from ohmesh.model.command import Command, CommandKind, CommandResult, ResultStatus, digest
from ohmesh.model.errors import WireError
from ohmesh.model.relay import RelayEvent
from ohmesh.wire import commandbody
from ohmesh.wire.metercommand import encode_result
from ohmesh.wire.sealed import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.flash import Flash
    from meter_sim.loadprofile import LoadProfile
    from meter_sim.meterstate import Message, MeterConfig, MeterState
    from meter_sim.speech import Speech
    from meter_sim.supply import Supply

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
_Answer = tuple[ResultStatus, bytes]


@dataclass(frozen=True, slots=True)
class _Order:
    """A command that is carried out: with the head-end's time, and where reports go."""

    command: Command
    clock_s: int
    messages: list[Message]


class Orders:
    """The commands of one meter; what they change stands in the meter's state."""

    def __init__(
        self,
        config: MeterConfig,
        state: MeterState,
        *,
        supply: Supply,
        flash: Flash,
        profile: LoadProfile,
        speech: Speech,
    ) -> None:
        self._config, self._state = config, state
        self._supply, self._flash = supply, flash
        self._profile, self._speech = profile, speech
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

    def obey(self, command: Command, clock_s: int) -> list[Message]:
        """Carry a command out, unless that was done before.

        Args:
            command: any but a block of firmware.
            clock_s: the time by which the head-end reckons deadlines, seconds since 1970.

        Returns:
            Reports that it asks for, and the result at the end.
        """
        messages: list[Message] = []
        result = self._state.results.get(command.id)
        if result is None:
            status, proof = self._judge(_Order(command, clock_s, messages))
            result = self._result(command.id, status, proof)
        return [*messages, self._speech.result(result)]

    def _judge(self, order: _Order) -> _Answer:
        """What everybody is asked first: in time, and newer than the last of its kind."""
        command = order.command
        if order.clock_s > command.not_after_s:
            return ResultStatus.EXPIRED, b""
        state, kind = self._state, command.kind
        if kind in _RELAY_EVENTS and command.sequence <= state.fence:
            return ResultStatus.STALE, b""
        going_on = kind is CommandKind.FIRMWARE and command.id == state.firmware.ident
        newest = command.sequence > state.fences.get(kind, -1)
        if kind in _FENCED and not newest and not going_on:
            return ResultStatus.STALE, b""
        try:
            return self._obey(order)
        except WireError:
            return ResultStatus.REFUSED, b""

    def _obey(self, order: _Order) -> _Answer:
        fences, kind = self._state.fences, order.command.kind
        if kind in _FENCED:
            fences[kind] = max(order.command.sequence, fences.get(kind, -1))
        deed = self._deeds.get(kind)
        return deed(order) if deed else (ResultStatus.UNSUPPORTED, b"")

    def _obey_read(self, order: _Order) -> _Answer:
        if order.command.kind is CommandKind.READ_NOW:
            order.messages.append(self._speech.report())
        return ResultStatus.OK, b""

    def _obey_relay(self, order: _Order) -> _Answer:
        self._state.fence = order.command.sequence
        self._supply.switch(_RELAY_EVENTS[order.command.kind])
        return ResultStatus.OK, b""

    def _obey_profile(self, order: _Order) -> _Answer:
        """Rows that are there; they are sent once, however often the command comes."""
        period = commandbody.decode_period(order.command.body)
        ends = (period.to_s - period.from_s) // self._config.interval_s
        if ends > commandbody.LOAD_PROFILE_ROWS_MAX:
            return ResultStatus.REFUSED, b""
        rows = [self._speech.report_of(registers) for registers in self._profile.rows(period)]
        order.messages.extend(rows)
        return ResultStatus.OK, len(rows).to_bytes(2, "big")

    def _obey_clock(self, order: _Order) -> _Answer:
        wanted_s = order.command.argument
        if wanted_s not in CLOCK_S:
            return ResultStatus.REFUSED, b""
        self._set_clock((wanted_s - order.clock_s) * 1000)
        return ResultStatus.OK, b""

    def _set_clock(self, drift_ms: int) -> None:
        """Go on at another time: what is skipped is not counted, what was closed stays closed."""
        registers = self._state.registers
        registers.at_ms += drift_ms - self._state.drift_ms
        self._state.drift_ms = drift_ms
        self._state.read_ms = min(self._state.read_ms, registers.at_ms)

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
        old, new = self._speech.key, order.command.body
        if len(new) != KEY_BYTES:
            return ResultStatus.REFUSED, b""
        if new != old:
            self._state.old_key, self._state.key = old, new
        return ResultStatus.OK, b""

    def _obey_firmware(self, order: _Order) -> _Answer:
        maker_key = self._config.maker_key
        if not maker_key:
            return ResultStatus.UNSUPPORTED, b""
        return firmware.obey_offer(self._state.firmware, self._flash, order.command, maker_key)

    def _result(self, command_id: bytes, status: ResultStatus, proof: bytes) -> bytes:
        """The encoded result, remembered when it is the last word."""
        at_s = self._state.registers.at_ms // 1000
        relay = self._supply.read_back
        result = encode_result(CommandResult(command_id, status, relay, at_s, proof))
        if status is not ResultStatus.IN_PROGRESS:
            results = self._state.results
            results[command_id] = result
            if len(results) > RESULTS_MAX:
                del results[next(iter(results))]
        return result
