"""A fleet as a utility has it: 60 meters, 2 gateways, a day of quarter-hours, one prepaid home.

Everything but readings and routes (which ingest writes) goes through the same plans as the API's.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headend.service.accounts import add_tariff, open_account, top_up
from headend.service.fleet import (
    NewGateway,
    NewMeter,
    add_service_point,
    register_gateway,
    register_meter,
)
from headend.store import db
from ohmesh.model.ids import mesh_address

START = datetime(2026, 3, 1, tzinfo=UTC)
INTERVAL_S = 900
DAY = 96
METERS = 60
PREPAID = "M0007"
CHANNELS = (
    ("el.energy.import", "1-0:1.8.0", "Wh", 0),
    ("el.power.import", "1-0:1.7.0", "W", 0),
    ("el.voltage.l1", "1-0:32.7.0", "V", -1),
)
HOSTILE = "<script>alert(1)</script>\"'=cmd|x&{{7*7}}\u202e"


@dataclass(frozen=True)
class Node:
    """Where a meter stands and whom it sends to."""

    meter: str
    node: int
    x_m: float
    y_m: float
    gateway: int
    parent: int
    hops: int


GATEWAYS = ((118.0, 142.0), (352.0, 118.0))
RANGE_M = 62


def street(meters: int = METERS) -> list[Node]:
    """Homes along four streets; each sends to the nearest neighbour that is one hop nearer."""
    places = [_home(i) for i in range(METERS)]
    hops: dict[int, tuple[int, int, int]] = {}  # meter -> (hops, parent, gateway)
    reached = [(i + 1, place, i) for i, place in enumerate(GATEWAYS)]
    count = 1
    while reached:
        ring = []
        for i, place in enumerate(places):
            near = [r for r in reached if math.dist(r[1], place) <= RANGE_M]
            if i not in hops and near:
                parent, _, gateway = min(near, key=lambda r: math.dist(r[1], place))
                hops[i] = (count, parent, gateway)
                ring.append((100 + i, place, gateway))
        reached, count = ring, count + 1
    nearest = sorted(hops, key=lambda i: (hops[i][0], i))[:meters]
    return [
        Node(f"M{i + 1:04d}", 100 + i, *places[i], hops[i][2], hops[i][1], hops[i][0])
        for i in sorted(nearest)
    ]


def _home(i: int) -> tuple[float, float]:
    row, column = i % 4, i // 4
    wobble = (i * 7919 % 23 - 11, i * 104729 % 19 - 9)
    return 8.0 + column * 33 + wobble[0] + row * 5, 20.0 + row * 66 + wobble[1]


def load_w(meter: int, quarter: int) -> int:
    """A home's power: night base, breakfast and evening peaks, sun on every fifth roof."""
    hour = quarter / 4
    peak = 900 * math.exp(-(((hour - 7.5) / 1.2) ** 2)) + 1600 * math.exp(
        -(((hour - 19) / 2.2) ** 2)
    )
    fridge = 90 * ((quarter + meter * 3) % 5 == 0)
    return int(160 + (meter * 37) % 120 + peak * (0.6 + (meter * 13 % 10) / 10) + fridge)


def seed(url: str, tenant_id: int, *, meters: int = METERS, prefix: str = "", now=None) -> None:
    """Fill a bootstrapped database for one tenant. Args: url: the owner's or a superuser's."""
    now = now or datetime.now(UTC)
    with db.connect(url, name="seed") as connection:
        _entities(connection, tenant_id, meters, prefix, now)
        _readings(connection, tenant_id)
        _field(connection, tenant_id, meters, prefix, now)
        connection.commit()


def _run(connection, plan):
    with db.transaction(connection):
        return db.run(connection, plan)


def _entities(connection, tenant_id, meters, prefix, now) -> None:
    for i, (x_m, y_m) in enumerate(GATEWAYS):
        gateway = NewGateway(f"{prefix}gw{i + 1}", _node(tenant_id, i + 1), x_m, y_m)
        _run(connection, register_gateway(tenant_id, gateway))
    for one in street(meters):
        name = prefix + one.meter
        _run(
            connection,
            add_service_point(
                tenant_id, f"SP-{name}", zone="Europe/Amsterdam", x_m=one.x_m, y_m=one.y_m
            ),
        )
        meter = NewMeter(
            name=name,
            address=mesh_address(_node(tenant_id, one.node)),
            profile="nl_dsmr",
            interval_s=INTERVAL_S,
            key_sealed=b"sealed",
            service_point=f"SP-{name}",
        )
        _run(connection, register_meter(tenant_id, meter))
    _run(
        connection,
        add_tariff(tenant_id, "flat", currency="EUR", price_mu_per_kwh=28_500),
    )
    _run(
        connection,
        open_account(tenant_id, f"{prefix}A-1", meter=prefix + PREPAID, tariff="flat", now=now),
    )
    _run(
        connection,
        top_up(
            tenant_id,
            f"{prefix}A-1",
            amount_mu=1_000_000,
            idempotency_key="first",
            now=now - timedelta(hours=2),
        ),
    )


def _node(tenant_id: int, number: int) -> int:
    return number + (tenant_id - 1) * 10_000


def _ids(connection, table: str, tenant_id: int) -> dict[str, int]:
    rows = connection.execute(
        f"select id, name from ohmesh.{table} where tenant_id = %s", (tenant_id,)
    )
    return {row["name"]: row["id"] for row in rows}


def _readings(connection, tenant_id) -> None:
    for name, obis, unit, scaler in CHANNELS:
        connection.execute(
            "insert into ohmesh.channel (name, obis, unit, scaler) values (%s, %s, %s, %s)"
            " on conflict do nothing",
            (name, obis, unit, scaler),
        )
    channels = {
        r["name"]: r["id"] for r in connection.execute("select id, name from ohmesh.channel")
    }
    # As of before there were bits of what was read: validation is told of none of these.
    connection.execute("update bulk.read_slots_since set at = 'infinity'")
    meter_ids = _ids(connection, "meter", tenant_id)
    with connection.cursor().copy("copy bulk.reading from stdin") as copy:
        for name, meter_id in meter_ids.items():
            for row in _one_day(int(name[-4:]), meter_id, channels):
                copy.write_row(row)


def _one_day(number, meter_id, channels):
    register = 1_000_000 + number * 4321
    for quarter in range(DAY):
        power = load_w(number, quarter)
        register += power // 4
        end = START + timedelta(seconds=INTERVAL_S * (quarter + 1))
        if number % 17 == 5 and 40 <= quarter < 46:  # a gap
            continue
        yield meter_id, channels["el.energy.import"], end, register, 0
        yield meter_id, channels["el.power.import"], end, power, 0
        yield meter_id, channels["el.voltage.l1"], end, 2290 + (quarter * 7 + number) % 40, 0


def _field(connection, tenant_id, meters, prefix, now) -> None:
    """What ingest would have written: routes, states, events, quarantine."""
    meter_ids, gateway_ids = (_ids(connection, t, tenant_id) for t in ("meter", "gateway"))
    for one in street(meters):
        gateway_id = gateway_ids[f"{prefix}gw{one.gateway + 1}"]
        connection.execute(
            "insert into ohmesh.route values (%s, %s, %s, %s, %s, %s)",
            (
                gateway_id,
                _node(tenant_id, one.node),
                _node(tenant_id, one.parent),
                128 + one.node % 90,
                one.hops,
                now,
            ),
        )
        connection.execute(
            "update ohmesh.meter_status set gateway_id = %s, last_seen = %s, relay = %s,"
            " relay_at = %s where meter_id = %s",
            (
                gateway_id,
                now - timedelta(seconds=one.node % 50),
                0 if one.meter == "M0013" else 1,
                now - timedelta(minutes=5),
                meter_ids[prefix + one.meter],
            ),
        )
    for name, gateway_id in gateway_ids.items():
        connection.execute(
            "insert into ohmesh.gateway_status values (%s, %s, 'online', %s)",
            (gateway_id, now, now - timedelta(hours=3)),
        )
        connection.execute(
            "insert into ohmesh.event (tenant_id, gateway_id, at, kind, detail)"
            " values (%s, %s, %s, 'gateway_online', %s)",
            (tenant_id, gateway_id, now, f'{{"gateway": "{name}"}}'),
        )
    for i, (reason, message, payload) in enumerate(
        (
            ("unknown_meter", "no meter has this address", b"/KFM5KAIFA-METER\r\n"),
            ("decode:checksum", "checksum at byte 812: CRC 1a2b, not 4c5d", b"/ISk5\\2MT382-1000"),
            ("seal", HOSTILE, HOSTILE.encode()),
        )
    ):
        connection.execute(
            "insert into bulk.telegram_quarantine (received_at, gateway_id, epoch, seq, meter_id,"
            " address, profile, reason, message, payload)"
            " values (%s, %s, 1, %s, null, %s, %s, %s, %s, %s)",
            (
                now,
                gateway_ids[f"{prefix}gw1"],
                i,
                f"mesh-000000{i:02x}",
                "nl_dsmr",
                reason,
                message,
                payload,
            ),
        )


def some_command(connection, tenant_id: int, meter: str, now: datetime) -> uuid.UUID:
    """A command row as the dispatcher leaves it."""
    made = uuid.uuid4()
    connection.execute(
        "insert into ohmesh.command (id, tenant_id, meter_id, kind, sequence, not_after,"
        " idempotency_key, requested_by, state)"
        " select %s, %s, m.id, 0, 1000, %s, %s, 'seed', 'sent' from ohmesh.meter m"
        " where m.name = %s",
        (made, tenant_id, now + timedelta(hours=1), made.hex, meter),
    )
    return made
