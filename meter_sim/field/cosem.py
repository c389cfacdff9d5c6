"""A simulated meter as a DLMS client sees it: classes 70, 111, 112, 113 and 115 on its own state.

Whoever may act on these objects is the server's to judge (association and security); what the
meter then permits is its control mode's and its token reader's, as for everybody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.errors import AccessResult
from firmware_profiles.codecs.dlms.objects.base import CosemObject
from firmware_profiles.codecs.dlms.objects.control import DISCONNECT_CONTROL
from firmware_profiles.codecs.dlms.objects.payment import (
    Account,
    Charge,
    Credit,
    Currency,
    TokenGateway,
    TokenStatus,
)
from ohmesh.model.relay import RelayEvent

if TYPE_CHECKING:
    from datetime import datetime

    from firmware_profiles.codecs.axdr import Value
    from meter_sim.meter import Meter

_CONSUMPTION = 1
"""Unit of a currency that counts energy (class 111, currency)."""
_TENTHS_OF_KWH = Currency("kWh", -1, _CONSUMPTION)


class MeterSwitch(CosemObject):
    """Class 70 on a meter's switch: attribute 2 is the contact, 3 what the control wants."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(70, 0, DISCONNECT_CONTROL)
        self._meter = meter
        self.attributes = {
            2: lambda _now: axdr.boolean(meter.contactor.closed),
            3: lambda _now: axdr.enum(meter.control_state),
            4: axdr.enum(meter.config.control_mode),
        }
        self.methods = {1: self._disconnect, 2: self._reconnect}

    def _disconnect(self, _parameter: Value, now: datetime) -> bytes:
        return self._switch(RelayEvent.REMOTE_DISCONNECT, 1, now)

    def _reconnect(self, _parameter: Value, now: datetime) -> bytes:
        return self._switch(RelayEvent.REMOTE_RECONNECT, 2, now)

    def _switch(self, event: RelayEvent, method: int, now: datetime) -> bytes:
        if not self._meter.config.control_mode:
            raise self.refused(AccessResult.READ_WRITE_DENIED, method)
        self._meter.switch(event, _ms(now))
        return b""


class MeterCredit(Credit):
    """Class 112 on what tokens brought, tenths of a kWh; tokens alone change it."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.attributes[2] = lambda _now: axdr.int32(meter.credit)
        self._meter = meter
        self.methods = {}

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self._meter.credit <= 0


class MeterAccount(Account):
    """Class 111: the balance of a meter that takes tokens."""

    def __init__(self, meter: Meter, credit: MeterCredit, charge: Charge) -> None:
        super().__init__([credit], [charge], _TENTHS_OF_KWH, prepaid=meter.config.prepaid)
        self._meter = meter
        self.methods = {}

    @property
    def available(self) -> int:
        """What tokens brought and nobody used yet, tenths of a kWh."""
        return self._meter.credit


def objects_of(meter: Meter) -> list[CosemObject]:
    """The switch of a meter and, where it takes tokens, its account and token gateway."""
    if not meter.config.decoder_key:
        return [MeterSwitch(meter)]
    credit, charge = MeterCredit(meter), Charge()

    def judge(token: bytes, now: datetime) -> TokenStatus:
        return TokenStatus(meter.enter_token(token.decode("ascii", "replace"), _ms(now)))

    account = MeterAccount(meter, credit, charge)
    return [MeterSwitch(meter), account, credit, charge, TokenGateway(judge)]


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)
