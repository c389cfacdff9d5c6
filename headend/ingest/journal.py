"""What telegrams change beside readings: who was heard, events, routes, commands, relay states."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from headend.ingest.decode import clean
from headend.ingest.statements import SQL, numbers
from headend.store import db
from ohmesh.model.command import (
    FINAL,
    CommandEvent,
    CommandKind,
    CommandState,
    ResultStatus,
    advance,
    outcome,
)
from ohmesh.model.errors import CommandError
from ohmesh.model.ids import mesh_address
from ohmesh.wire.report import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from headend.ingest.effects import Effects, Gateway, Noted, Result
    from headend.ingest.rates import Flood
    from headend.store.db import Connection
    from headend.store.plan import Row
    from ohmesh.wire.report import DeliveryReport, PowerReport, TopologyReport


def write(connection: Connection, effects: Effects) -> None:
    """Write it all; the status rows of the meters are locked already."""
    _touch(connection, effects)
    for result in effects.results:
        _set_relay(connection, result)
    _write_events(connection, effects.events)
    for gateway, at, report in effects.powers:
        _write_power(connection, gateway, at, report)
    for gateway, (at, topology) in sorted(effects.topologies.items()):
        _write_routes(connection, gateway, at, topology)
    _write_commands(connection, effects)


def write_states(
    connection: Connection, states: Mapping[str, str], heard: AbstractSet[int]
) -> None:
    """What gateways say of their connection, and which of them sent batches."""
    if heard:
        db.execute(connection, SQL("see_gateways", gateways=sorted(heard)))
    if states:
        names = sorted(states)
        db.execute(
            connection, SQL("set_state", names=names, states=[states[name] for name in names])
        )


def write_flood(connection: Connection, gateway: Gateway, flood: Flood, now_ms: int) -> None:
    """An event of a gateway that sends more than it should."""
    detail = {"telegrams_in_a_minute": flood.telegrams}
    db.execute(
        connection,
        SQL(
            "add_events",
            tenants=[gateway.tenant_id],
            meters=[None],
            gateways=[gateway.id],
            at=[datetime.fromtimestamp(now_ms / 1000, UTC)],
            kinds=["gateway_flood"],
            details=[msgspec.json.encode(detail).decode()],
        ),
    )


def _touch(connection: Connection, effects: Effects) -> None:
    if not effects.touches:
        return
    touches = effects.touches.values()
    db.execute(
        connection,
        SQL(
            "touch_meters",
            meters=numbers(effects.touches),
            seen_ms=numbers(touch.seen_ms for touch in touches),
            gateways=numbers(touch.gateway_id for touch in touches),
            sealed=numbers(meter for meter, _ in effects.counters),
            counters=numbers(counter for _, counter in effects.counters),
        ),
    )


def _set_relay(connection: Connection, result: Result) -> None:
    # The gateway's clock: a meter's own may be off, or run in simulated time.
    at = datetime.fromtimestamp(min(result.at_ms // 1000, _LAST_S), UTC)
    db.execute(
        connection,
        SQL(
            "set_relay",
            meter=result.meter.id,
            relay=result.result.relay.value,
            at=at,
            counter=result.counter,
        ),
    )


_LAST_S = 253_402_300_799
"""End of the year 9999."""


def _write_events(connection: Connection, events: Sequence[Noted]) -> None:
    if not events:
        return
    meters = [(e.item.meter, e) for e in events if e.item.meter is not None]
    db.execute(
        connection,
        SQL(
            "add_events",
            tenants=[meter.tenant_id for meter, _ in meters],
            meters=[meter.id for meter, _ in meters],
            gateways=[e.item.gateway.id if e.item.gateway else None for _, e in meters],
            at=[
                datetime.fromtimestamp(min(e.item.telegram.received_at_ms // 1000, _LAST_S), UTC)
                for _, e in meters
            ],
            kinds=[e.kind for _, e in meters],
            details=[msgspec.json.encode(e.detail).decode() for _, e in meters],
        ),
    )


def _write_power(
    connection: Connection, gateway: Gateway, at: datetime, report: PowerReport
) -> None:
    """The mesh's word, without a seal: events like the meter's own, and marked as the mesh's."""
    db.execute(
        connection,
        SQL(
            "add_power_events",
            tenant=gateway.tenant_id,
            gateway=gateway.id,
            addresses=[mesh_address(node) for node in report.nodes],
            at=at,
            kind="power_restored" if report.restored else "last_gasp",
        ),
    )


def _write_routes(
    connection: Connection, gateway: Gateway, at: datetime, topology: TopologyReport
) -> None:
    db.execute(connection, SQL("drop_routes", gateway=gateway.id, at=at))
    db.execute(
        connection,
        SQL(
            "add_routes",
            gateway=gateway.id,
            at=at,
            nodes=[route.node for route in topology.routes],
            parents=[route.parent for route in topology.routes],
            etx=[route.etx_128ths for route in topology.routes],
            hops=[route.hops for route in topology.routes],
        ),
    )


def _write_commands(connection: Connection, effects: Effects) -> None:
    named = [r.result.id for r in effects.results] + [d.command for _, d in effects.deliveries]
    if not named:
        return
    ids = sorted({UUID(bytes=octets) for octets in named})
    rows = {row["id"]: row for row in db.rows(connection, SQL("lock_commands", ids=ids))}
    for gateway, report in effects.deliveries:
        _deliver(connection, rows, gateway, report)
    for result in effects.results:
        _end(connection, rows, result)


def _deliver(
    connection: Connection, rows: dict[UUID, Row], gateway: Gateway, report: DeliveryReport
) -> None:
    """The gateway's word is a hint: it moves a command to IN_FIELD, and never ends one."""
    row = rows.get(UUID(bytes=report.command))
    if row is None or row["tenant_id"] != gateway.tenant_id:
        return
    state = CommandState(row["state"])
    if state in FINAL or state is CommandState.QUEUED:
        return
    if report.status is DeliveryStatus.DELIVERED:
        state = advance(state, CommandEvent.DELIVERED)
    detail = clean(f"{report.status.name.lower()} {report.detail}").strip()
    db.execute(connection, SQL("deliver_command", id=row["id"], state=state, detail=detail))
    row["state"] = state


def _end(connection: Connection, rows: dict[UUID, Row], result: Result) -> None:
    """The meter's own word, under its seal. For a command that has ended it changes nothing."""
    row = rows.get(UUID(bytes=result.result.id))
    if row is None or row["meter_id"] != result.meter.id:
        return
    status, kind = result.result.status, CommandKind(row["kind"])
    if status is ResultStatus.IN_PROGRESS:
        db.execute(connection, SQL("want_more", id=row["id"], proof=result.result.proof))
        return
    event = outcome(kind, result.result, bytes(row["body"]))
    if kind is CommandKind.KEY_CHANGE and event is CommandEvent.SUCCEED:
        # Even when the command was given up: the meter has the key.
        db.execute(connection, SQL("activate_key", meter=result.meter.id, id=row["id"]))
    try:
        state = advance(CommandState(row["state"]), event)
    except CommandError:
        return
    db.execute(
        connection,
        SQL(
            "end_command",
            id=row["id"],
            state=state,
            status=status.value,
            relay=result.result.relay.value,
            proof=result.result.proof,
            detail=f"the meter says {status.name.lower()}",
        ),
    )
    row["state"] = state
