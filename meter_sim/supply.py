"""Who moves a meter's switch: the head-end, the customer, the credit, too much power. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meter_sim import tokenslot
from meter_sim.registers import WATT_MS_PER_WH
from ohmesh.model.command import RelayState
from ohmesh.model.relay import RelayEvent, after

if TYPE_CHECKING:
    from meter_sim.contactor import Contactor
    from meter_sim.meterstate import MeterConfig, MeterState

TAMPER_WH = 20
"""Drawn in an interval while off: somebody laid a wire around the switch."""
_UNIT_WMS = tokenslot.UNIT_WH * WATT_MS_PER_WH


class Supply:
    """The supply of one meter; its control state stands in the meter's state."""

    def __init__(self, config: MeterConfig, state: MeterState, contactor: Contactor) -> None:
        self._mode, self._prepaid = config.control_mode, config.prepaid
        self._state = state
        self.contactor = contactor
        contactor.drive(state.relay)

    @property
    def read_back(self) -> RelayState:
        """What the meter tells of its switch."""
        return self.contactor.read_back(self._state.relay)

    def switch(self, event: RelayEvent) -> None:
        """Do what the control mode permits; the rest changes nothing."""
        self._state.relay = after(self._state.relay, event, self._mode)
        self.contactor.drive(self._state.relay)

    def press(self) -> None:
        """The customer presses the button: an armed supply comes on, if it is paid for."""
        if self._may_draw():
            self.switch(RelayEvent.MANUAL_RECONNECT)

    def follow_credit(self) -> None:
        """Off by itself when the credit is used up; back by itself where the mode lets it."""
        if self._prepaid:
            on = self._may_draw()
            self.switch(RelayEvent.LOCAL_RECONNECT if on else RelayEvent.LOCAL_DISCONNECT)

    def use(self, wms: int, rate: int) -> None:
        """What was drawn goes to its rate and from the credit; too much power switches off."""
        state = self._state
        state.rates_wms[rate - 1] += wms
        if state.relay is not RelayState.CONNECTED:
            state.tamper_wms += wms
        if self._prepaid:
            tokenslot.consume(state.tokens, wms, _UNIT_WMS)
            self.follow_credit()
        limit_w = state.tokens.power_limit_w
        if limit_w is not None and state.registers.net_w > limit_w:
            self.switch(RelayEvent.LOCAL_DISCONNECT)

    def tampered_wh(self) -> int:
        """What was drawn while off since the last question, if it is worth telling; else 0."""
        drawn_wh, self._state.tamper_wms = self._state.tamper_wms // WATT_MS_PER_WH, 0
        return drawn_wh if drawn_wh > TAMPER_WH else 0

    def _may_draw(self) -> bool:
        return not self._prepaid or self._state.tokens.credit > 0
