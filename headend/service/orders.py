"""Commands that people order, where they meet prepayment.

An operator's word stands above the wallet: switching off a meter with a prepaid account is a hold
on its supply, so that credit does not undo it at once, and switching on a held one is refused until
two people have released it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headend.prepayment import engine, supplying
from headend.prepayment.contract import HoldSet
from headend.service.commands import CommandRecord, NewCommand, create_command, find_by_key
from headend.store.plan import Plan, Queries, first
from ohmesh.model.command import CommandKind
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from datetime import datetime

SQL: Final = Queries("headend.prepayment", "engine.sql")


def order_command(tenant_id: int, request: NewCommand, now: datetime) -> Plan[CommandRecord]:
    """Queue a command of a person, once.

    Raises:
        CommandError, Conflict: as `create_command`.
        PrepaymentError(code="held"): the supply is held off.
    """
    if request.kind not in {CommandKind.RELAY_OFF, CommandKind.RELAY_ON}:
        return (yield from create_command(tenant_id, request, now))
    found = first((yield SQL("account_of_meter", tenant_id=tenant_id, meter=request.meter)))
    known = yield from find_by_key(tenant_id, request)
    if known is not None or found is None:
        return (yield from create_command(tenant_id, request, now))
    account = yield from engine.lock_account(found["id"])
    held = supplying.supply_of(account["kept"]).hold
    if request.kind is CommandKind.RELAY_OFF:
        hold = HoldSet(f"ordered off by {request.requested_by}")
        yield from supplying.look(account, [hold], now, asked=request)
    elif held is not None:
        raise PrepaymentError(
            "held", f"the supply of {request.meter} is held off ({held}); release the hold first"
        )
    return (yield from create_command(tenant_id, request, now))
