"""The prepayment engine: one account, one event, one transaction.

Theory of operation. Every event (readings committed, a top-up, a command that ended, a tick) locks
the account's supply row, posts what there is to post, and looks at the supply again, all in one
transaction; so a balance and the decision about it are never seen apart. Rating and supply are
pure (`rating`, `supply`); this module fetches their facts and stores their answers.

| event | posts | looks at supply |
|---|---|---|
| top-up (API) | cash -> wallet | yes |
| readings committed (worker) | wallet -> rev_energy | yes |
| command ended, relay read back (worker's tick) | - | yes |

A decision: `decision_seq` + 1, an open command of the last decision is superseded, a new command
is queued with the key `supply:<account>:<decision_seq>`. `actual` is never written here: it is
the relay state that ingest takes from the meter's sealed results.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from headend.prepayment import ledger, rating, supply
from headend.prepayment.rating import RatingState, RegisterAt
from headend.prepayment.supply import Facts, LastCommand
from headend.service.commands import NewCommand, create_command, supersede
from headend.store.plan import Plan, Queries, first
from ohmesh.model.command import CommandState, RelayState
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from headend.prepayment.rating import Charge, Rated
    from headend.prepayment.supply import Decision
    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "engine.sql")
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""A reading further in the future than this is not charged."""
READINGS_MAX: Final = 5000
"""Readings of one account in one transaction; the rest follow in the next."""
REQUESTER: Final = "prepayment"


def lock_account(account_id: int) -> Plan[Row]:
    """The account with everything a decision needs, locked. Raises PrepaymentError."""
    if not (yield SQL("lock_account", account_id=account_id)):
        raise PrepaymentError("unknown_account", f"there is no account {account_id}")
    return (yield SQL("locked_account", account_id=account_id))[0]


def rate_account(account_id: int, now: datetime) -> Plan[Charge | None]:
    """Charge what the meter has registered since the last time, then look at the supply."""
    account = yield from lock_account(account_id)
    if account["batches"] == account["rated_batches"]:
        return None
    state = yield from _begin(account, now)
    readings: list[RegisterAt] = []
    if state.rated_to is not None:
        readings = yield from _readings(account, state.rated_to, now)
    rated = rating.rate(state, readings, account["price_mu_per_kwh"])
    yield from _store(account, rated, complete=len(readings) < READINGS_MAX, now=now)
    account = {**account, "posted_mu": rated.state.posted_mu}
    yield from evaluate(account, now)
    return rated.charge


def _begin(account: Row, now: datetime) -> Plan[RatingState]:
    """The rating state; the first time, the base is the newest register at the opening."""
    state = RatingState(
        account["rated_to"],
        account["register_wh"],
        int(account["charge_milli_mu"]),
        account["posted_mu"],
    )
    if state.register_wh is not None:
        return state
    until = state.rated_to or now + CLOCK_TOLERANCE
    base = first(
        (
            yield SQL(
                "last_register",
                meter_id=account["meter_id"],
                channel=account["rated_channel"],
                until=until,
            )
        )
    )
    if base is None:
        return state
    return RatingState(state.rated_to or base["ts"], base["wh"])


def _readings(account: Row, after: datetime, now: datetime) -> Plan[list[RegisterAt]]:
    rows = yield SQL(
        "registers",
        meter_id=account["meter_id"],
        channel=account["rated_channel"],
        after=after,
        until=now + CLOCK_TOLERANCE,
        limit=READINGS_MAX,
    )
    return [RegisterAt(row["ts"], row["wh"]) for row in rows]


def _store(account: Row, rated: Rated, *, complete: bool, now: datetime) -> Plan[None]:
    state = rated.state
    if rated.charge is not None and rated.charge.amount_mu > 0:
        yield from _charge(account, rated.charge, now)
    for reading in rated.decreased:
        detail = {"register_wh": reading.wh, "charged_to_wh": state.register_wh}
        yield from note(account, reading.at, "register_decreased", detail)
    yield SQL(
        "save_rating",
        account_id=account["id"],
        rated_to=state.rated_to,
        register_wh=state.register_wh,
        charge_milli_mu=state.charge_milli_mu,
        posted_mu=state.posted_mu,
        batches=account["batches"] if complete else account["rated_batches"],
    )


def _charge(account: Row, charge: Charge, now: datetime) -> Plan[None]:
    transfer = ledger.Transfer(
        tenant_id=account["tenant_id"],
        account_id=account["id"],
        debit=ledger.WALLET,
        credit=ledger.REV_ENERGY,
        amount_mu=charge.amount_mu,
        code=ledger.Code.ENERGY,
        value_at=charge.to,
        idempotency_key=f"energy:{account['id']}:{charge.to.isoformat()}",
        ref={"energy_wh": charge.energy_wh, "price_mu_per_kwh": account["price_mu_per_kwh"]},
    )
    yield from ledger.post(transfer, now)


def evaluate_account(account_id: int, now: datetime) -> Plan[Decision | None]:
    """Look at the supply of one account."""
    account = yield from lock_account(account_id)
    return (yield from evaluate(account, now))


def evaluate(account: Row, now: datetime) -> Plan[Decision | None]:
    """Decide on a locked account and queue the command that the decision needs."""
    wallet_mu = yield from ledger.wallet_mu(account["id"])
    decision = supply.decide(_facts(account, wallet_mu), now)
    if decision is None:
        return None
    if account["command_id"] is not None:
        yield from supersede(account["tenant_id"], account["command_id"], now)
    sequence = account["decision_seq"] + 1
    request = NewCommand(
        meter=account["meter"],
        kind=decision.kind,
        not_after=decision.not_after,
        idempotency_key=f"supply:{account['id']}:{sequence}",
        requested_by=REQUESTER,
    )
    command = yield from create_command(account["tenant_id"], request, now)
    yield SQL(
        "save_decision",
        account_id=account["id"],
        desired=decision.desired.value,
        decision_seq=sequence,
        reason=decision.reason,
        now=now,
        command_id=command.id,
        tries=account["tries"] + 1 if decision.reason == supply.AGAIN else 0,
    )
    detail = {"decision_seq": sequence, "wallet_mu": wallet_mu, "command": str(command.id)}
    yield from note(account, now, f"supply.{decision.reason}", detail)
    return decision


def _facts(account: Row, wallet_mu: int) -> Facts:
    command = None
    if account["command_id"] is not None:
        command = LastCommand(
            CommandState(account["command_state"]), account["command_resolved_at"]
        )
    return Facts(
        wallet_mu=wallet_mu,
        charged=account["posted_mu"] > 0,
        desired=RelayState(account["desired"]),
        actual=None if account["actual"] is None else RelayState(account["actual"]),
        command=command,
        tries=account["tries"],
    )


def note(account: Row, at: datetime, kind: str, detail: Mapping[str, object]) -> Plan[None]:
    """An event in the journal of the account's meter."""
    yield SQL(
        "insert_event",
        tenant_id=account["tenant_id"],
        meter_id=account["meter_id"],
        at=at,
        kind=kind,
        detail=msgspec.json.encode({**detail, "account": account["name"]}).decode(),
    )


def due_rating(limit: int, avoid: Collection[int]) -> Plan[list[int]]:
    """Accounts whose meters have committed readings since they were last rated."""
    rows = yield SQL("due_rating", limit=limit, avoid=list(avoid))
    return [row["account_id"] for row in rows]


def due_supply(now: datetime, limit: int, avoid: Collection[int]) -> Plan[list[int]]:
    """Accounts whose supply may need a decision, reconnections first."""
    rows = yield SQL(
        "due_supply",
        now=now,
        pause=supply.RETRY_PAUSE,
        pause_max=supply.RETRY_PAUSE_MAX,
        limit=limit,
        avoid=list(avoid),
    )
    return [row["account_id"] for row in rows]
