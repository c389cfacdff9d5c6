"""The store in memory: the named statements that the product runs, and a transaction's contract.

All or nothing, savepoints, a key once, and an error of the server at any statement or at the
commit. Statements that are not played raise KeyError: nothing passes by being ignored.
"""

# ruff: noqa: A002, ARG001, ARG002 - the statements' own names and parameters
from __future__ import annotations

import copy
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from headend.commands.sending import SQL as COMMANDS
from headend.ingest.statements import SQL as INGEST
from headend.prepayment.engine import SQL as ENGINE
from headend.prepayment.rerate import SQL as RERATE
from headend.service.commands import SQL as SERVICE

Y2K = datetime(2000, 1, 1, tzinfo=UTC)
OPEN = ("queued", "sent", "in_field")
_STATEMENTS = {}


class Killed(BaseException):
    """The process that runs is gone, as after kill -9."""


def answers(queries, name):
    """The function is the answer to a named statement."""

    def keep(function):
        _STATEMENTS[queries.sql(name)] = function
        return function

    return keep


class Store:
    """Tables as dictionaries of rows; a row is replaced and never changed in place."""

    def __init__(self):
        self.tables = {}
        self._undo = []

    def table(self, name):
        return self.tables.setdefault(name, {})

    def put(self, name, key, row):
        """A row, new or in the place of another; None is no row."""
        table = self.table(name)
        self._undo.append((name, key, table.get(key)))
        table[key] = row

    def add(self, name, row):
        """A row under the next number."""
        key = len(self.table(name)) + 1
        self.put(name, key, {"id": key, **row})
        return key

    def insert(self, name, key, row):
        if key in self.table(name):
            raise psycopg.errors.UniqueViolation(f"{name} has {key} already")
        self.put(name, key, row)

    def change(self, name, key, **fields):
        self.put(name, key, self.table(name)[key] | fields)

    def remove(self, name, key):
        self._undo.append((name, key, self.table(name).pop(key)))

    def mark(self):
        return len(self._undo)

    def roll_back(self, mark):
        while len(self._undo) > mark:
            name, key, row = self._undo.pop()
            if row is None:
                del self.tables[name][key]
            else:
                self.tables[name][key] = row

    def settle(self):
        """The transaction is committed; the names of the tables that it changed."""
        changed = {name for name, _, _ in self._undo}
        self._undo.clear()
        return changed

    def back_up(self):
        return copy.deepcopy(self.tables)

    def restore(self, tables):
        self.tables = copy.deepcopy(tables)


class Answer(list):
    """What a statement gave, as psycopg's cursor tells it."""

    description = True

    @property
    def rowcount(self):
        return len(self)

    def fetchall(self):
        return list(self)


class Connection:
    """What the product uses of psycopg's connection.

    Args:
        store: the tables.
        now: UTC.
        fault: called before each statement and as "commit" and "committed"; it may raise.
        committed: told after each commit which tables it changed.
    """

    def __init__(self, store, *, now, fault, committed):
        self.store = store
        self.now = now
        self._fault = fault
        self._committed = committed
        self._depth = 0

    @contextmanager
    def transaction(self):
        mark = self.store.mark()
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self._fault("commit")
        except BaseException:
            self.store.roll_back(mark)
            raise
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._committed(self.store.settle())
            self._fault("committed")

    def execute(self, sql, params=None):
        self._fault("statement")
        given = {name: _parsed(value) for name, value in (params or {}).items()}
        rows = _STATEMENTS[sql](self, **given) or ()
        return Answer(row.copy() if isinstance(row, dict) else row for row in rows)

    def cursor(self):
        return self

    def notifies(self, *, timeout):
        self._fault("statement")
        return ()

    @contextmanager
    def copy(self, sql):
        target = _Copy()
        yield target
        self._fault("statement")
        _STATEMENTS[sql](self, b"".join(target.parts))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class _Copy:
    def __init__(self):
        self.parts = []

    def write(self, octets):
        self.parts.append(octets)


def rows_of(octets):
    """The fields of each row of a binary COPY stream."""
    at = 19
    while (count := int.from_bytes(octets[at : at + 2], "big", signed=True)) >= 0:
        at += 2
        fields = []
        for _ in range(count):
            size = int.from_bytes(octets[at : at + 4], "big", signed=True)
            at += 4
            fields.append(None if size < 0 else octets[at : at + size])
            at += max(size, 0)
        yield fields


def number(octets):
    return int.from_bytes(octets, "big", signed=True)


def moment(octets):
    return Y2K + timedelta(microseconds=number(octets))


# --- ingest -----------------------------------------------------------------------------------


@answers(INGEST, "gateways")
def _gateways(c, names):
    return [row for row in c.store.table("gateway").values() if row["name"] in names]


@answers(INGEST, "open_progress")
def _open_progress(c, gateways, epochs):
    for key in zip(gateways, epochs, strict=True):
        if key not in c.store.table("progress"):
            c.store.put("progress", key, frozenset())


@answers(INGEST, "lock_progress")
@answers(INGEST, "lock_meters")
def _nothing_to_do(c, **_):
    """One transaction runs at a time."""


@answers(RERATE, "waiting")
def _rated_anew(_c, **_):
    """Nobody asks for it in a run."""


@answers(INGEST, "committed")
def _committed(c, batches, gateways, epochs, firsts, ends):
    rows = []
    for i, g, e, first, end in zip(batches, gateways, epochs, firsts, ends, strict=True):
        got = c.store.table("progress")[g, e]
        rows += [{"i": i, "low": n, "high": n + 1} for n in range(first, end) if n in got]
    return rows


def through(got):
    """The end of the contiguous range from 0."""
    end = 0
    while end in got:
        end += 1
    return end


@answers(INGEST, "advance_progress")
def _advance_progress(c, gateways, epochs, firsts, ends):
    added = {}
    for g, e, first, end in zip(gateways, epochs, firsts, ends, strict=True):
        added.setdefault((g, e), set()).update(range(first, end))
    rows = []
    for (g, e), numbers in added.items():
        got = c.store.table("progress")[g, e] | numbers
        c.store.put("progress", (g, e), got)
        rows.append({"gateway_id": g, "epoch": e, "through": through(got)})
    return rows


def _parsed(value):
    """The list of an array that `headend.ingest.statements.numbers` wrote; else the value."""
    if not (isinstance(value, str) and re.fullmatch(r"\{(-?\d+|NULL|,)*\}", value)):
        return value
    return [None if text == "NULL" else int(text) for text in value[1:-1].split(",") if text]


@answers(INGEST, "changed_meters")
def _changed_meters(c, meters, versions):
    known = c.store.table("meter")
    pairs = zip(meters, versions, strict=True)
    return [{"m": m} for m, v in pairs if known[m]["version"] != v]


@answers(INGEST, "meters")
def _meters(c, addresses):
    rows = []
    for meter in c.store.table("meter").values():
        if meter["address"] in addresses:
            seen = c.store.table("meter_status")[meter["id"]]["up_seen"]
            rows.append(meter | {"counter_floor": max(seen, default=None)})
    return rows


@answers(INGEST, "seen_counters")
def _seen_counters(c, meters, counters):
    status = c.store.table("meter_status")
    pairs = enumerate(zip(meters, counters, strict=True), 1)
    return [{"i": i} for i, (m, n) in pairs if n in status[m]["up_seen"]]


@answers(INGEST, "touch_meters")
def _touch_meters(c, meters, gateways, seen_ms, sealed, counters):
    new = {}
    for meter, counter in zip(sealed, counters, strict=True):
        new.setdefault(meter, set()).add(counter)
    for meter, gateway, at_ms in zip(meters, gateways, seen_ms, strict=True):
        row = c.store.table("meter_status")[meter]
        seen = min(datetime.fromtimestamp(at_ms / 1000, UTC), c.now())
        seen_by = {"gateway_id": gateway or row["gateway_id"], "last_seen": seen}
        latest = row["last_seen"] is None or seen >= row["last_seen"]
        counters_seen = row["up_seen"] | new.get(meter, set())
        c.store.change("meter_status", meter, up_seen=counters_seen, **(seen_by if latest else {}))


@answers(INGEST, "channels")
def _channels(c, names):
    return [row for row in c.store.table("channel").values() if row["name"] in names]


@answers(INGEST, "add_channels")
def _add_channels(c, names, obis, units, scalers):
    for key in zip(names, obis, units, scalers, strict=True):
        if key not in c.store.table("channel"):
            fields = dict(zip(("name", "obis", "unit", "scaler"), key, strict=True))
            c.store.put("channel", key, {"id": len(c.store.table("channel")) + 1, **fields})


def _reading(fields):
    meter, channel, at, value, status = fields
    return (number(meter), number(channel), moment(at)), (number(value), number(status))


def _keep_reading(c, key, row):
    """The newest of a channel is kept apart: whoever charges asks for it all the time."""
    c.store.insert("reading", key, row)
    meter, channel, at = key
    newest = c.store.table("newest").get((meter, channel))
    if newest is None or at > newest[0]:
        c.store.put("newest", (meter, channel), (at, row[0]))


@answers(INGEST, "copy_readings")
def _copy_readings(c, octets):
    for fields in rows_of(octets):
        _keep_reading(c, *_reading(fields))


@answers(INGEST, "copy_touched")
def _copy_touched(c, octets):
    meters = {number(meter) for meter, _, _ in rows_of(octets)}
    for account in c.store.table("account").values():
        if account["meter_id"] in meters:
            c.store.add("till", {"account_id": account["id"]})


@answers(INGEST, "make_staging")
def _make_staging(c):
    """`_copy_staging` keeps the rows."""


@answers(INGEST, "copy_staging")
def _copy_staging(c, octets):
    c.staged = [_reading(fields) for fields in rows_of(octets)]


@answers(INGEST, "merge_staging")
def _merge_staging(c):
    new = [one for one in c.staged if one[0] not in c.store.table("reading")]
    for key, row in new:
        _keep_reading(c, key, row)
    return new


@answers(INGEST, "copy_telegrams")
def _copy_telegrams(c, octets):
    for at, gateway, epoch, seq, _, _, meter, *_ in rows_of(octets):
        key = (number(gateway), number(epoch), number(seq), moment(at))
        c.store.insert("telegram", key, meter and number(meter))


@answers(INGEST, "quarantine")
def _quarantine(c, **columns):
    for values in zip(*columns.values(), strict=True):
        c.store.add("quarantine", dict(zip(columns, values, strict=True)))


@answers(INGEST, "take_quarantined")
def _take_quarantined(c, limit):
    """No meter of a run changes, so that nothing is worth another try."""


@answers(INGEST, "add_events")
def _add_events(c, kinds, **_):
    for kind in kinds:
        c.store.add("event", {"kind": kind})


@answers(INGEST, "add_power_events")
def _add_power_events(c, addresses, kind, **_):
    for meter in c.store.table("meter").values():
        if meter["address"] in addresses:
            c.store.add("event", {"kind": kind, "meter_id": meter["id"]})


@answers(INGEST, "lock_commands")
def _lock_commands(c, ids):
    table = c.store.table("command")
    return [table[one] for one in ids if one in table]


def resolve(c, command_id, **fields):
    """End a command; its account hears of it."""
    before = c.store.table("command")[command_id]
    c.store.change("command", command_id, **fields)
    if before["account_id"] is not None and before["resolved_at"] is None:
        _tell(c, before["account_id"])


def _tell(c, account):
    key = c.store.table("sequence").get("news", 0) + 1
    c.store.put("sequence", "news", key)
    c.store.put("news", key, {"account_id": account, "from_ts": None})


@answers(INGEST, "end_command")
def _end_command(c, id, state, status, relay, detail, proof):
    fields = {"result_status": status, "relay": relay, "detail": detail, "proof": proof}
    resolve(c, id, state=state, resolved_at=c.now(), **fields)


@answers(INGEST, "deliver_command")
def _deliver_command(c, id, state, detail):
    c.store.change("command", id, state=state, detail=detail)


@answers(INGEST, "set_relay")
def _set_relay(c, meter, relay, at, counter):
    if c.store.table("meter_status")[meter]["relay_counter"] >= counter:
        return
    c.store.change("meter_status", meter, relay=relay, relay_at=at, relay_counter=counter)
    for account in c.store.table("account").values():
        if account["meter_id"] == meter:
            _tell(c, account["id"])


@answers(INGEST, "see_gateways")
@answers(INGEST, "drop_routes")
@answers(INGEST, "add_routes")
def _see_gateways(c, **_):
    """Nobody asks for them here."""


# --- commands ---------------------------------------------------------------------------------


def _sendable(c, row, now):
    status = c.store.table("meter_status")[row["meter_id"]]
    is_open = row["state"] in OPEN and row["next_try_at"] <= now < row["not_after"]
    return is_open and status["gateway_id"] is not None


def _due(c, row):
    meter = c.store.table("meter")[row["meter_id"]]
    gateway_id = c.store.table("meter_status")[row["meter_id"]]["gateway_id"]
    gateway = c.store.table("gateway")[gateway_id]
    fields = (
        *("id", "meter_id", "kind", "argument", "body", "proof", "sequence", "priority"),
        *("not_after", "attempts", "state", "next_try_at", "tenant_id"),
    )
    return {
        **{field: row[field] for field in fields},
        "meter": meter["name"],
        "address": meter["address"],
        "key_sealed": meter["key_sealed"],
        "gateway_id": gateway_id,
        "gateway": gateway["name"],
        "area": "",
    }


def _released(c, row, now):
    release = c.store.table("release").get(row["id"])
    return release is not None and release["not_after"] > now


@answers(COMMANDS, "due")
def _due_commands(c, now, limit, guarded):
    rows = c.store.table("command").values()
    found = [_due(c, r) for r in rows if r["kind"] not in guarded and _sendable(c, r, now)]
    return sorted(found, key=lambda r: (-r["priority"], r["next_try_at"]))[:limit]


@answers(COMMANDS, "due_cuts")
def _due_cuts(c, now, limit, guarded):
    rows = c.store.table("command").values()
    return [
        {name: r[name] for name in ("id", "account_id", "kind")}
        for r in rows
        if r["kind"] in guarded and _sendable(c, r, now) and _released(c, r, now)
    ][:limit]


@answers(COMMANDS, "one_cut")
def _one_cut(c, id, now):
    row = c.store.table("command")[id]
    if not _sendable(c, row, now) or not _released(c, row, now):
        return []
    more = {name: row[name] for name in ("decision_seq", "requested_by")}
    release = c.store.table("release")[id]["octets"]
    return [{**_due(c, row), **more, "release": release, "approvals": []}]


@answers(COMMANDS, "lease")
def _lease(c, ids, until):
    for one, at in zip(ids, until, strict=True):
        c.store.change("command", one, next_try_at=at)


@answers(COMMANDS, "under_way")
def _under_way(c, now):
    counts = {}
    for row in c.store.table("command").values():
        gateway = c.store.table("meter_status")[row["meter_id"]]["gateway_id"]
        if row["state"] in ("sent", "in_field") and row["next_try_at"] > now:
            counts[gateway] = counts.get(gateway, 0) + 1
    return [{"gateway_id": g, "commands": n} for g, n in counts.items() if g is not None]


@answers(COMMANDS, "areas")
def _areas(c, **_):
    """One area without a transformer: everybody alone."""
    return [{"tenant_id": 1, "area": "", "meters": 1000, "recent": 0}]


@answers(COMMANDS, "next_counter")
def _next_counter(c, meter_id, count, floor):
    counter = max(c.store.table("meter_status")[meter_id]["down_counter"], floor) + count
    c.store.change("meter_status", meter_id, down_counter=counter)
    return [{"down_counter": counter}]


@answers(COMMANDS, "mark_sent")
def _mark_sent(c, id, was, state, attempts, next_try_at, now):
    row = c.store.table("command")[id]
    if (row["attempts"], row["state"]) != (attempts, was):
        return []
    sent = {"attempts": attempts + 1, "next_try_at": next_try_at, "sent_at": now}
    c.store.change("command", id, state=state, **sent)
    return [{"id": id}]


@answers(COMMANDS, "overdue")
def _overdue(c, now, limit):
    rows = c.store.table("command").values()
    late = [r for r in rows if r["state"] in OPEN and r["not_after"] <= now]
    return [{name: r[name] for name in ("id", "state", "not_after")} for r in late][:limit]


@answers(COMMANDS, "expire")
def _expire(c, id, state, now, detail):
    resolve(c, id, state=state, resolved_at=now, detail=detail)


@answers(SERVICE, "find_meter")
def _find_meter(c, tenant_id, meter):
    rows = c.store.table("meter").values()
    return [{"id": r["id"], "has_key": True} for r in rows if r["name"] == meter]


@answers(SERVICE, "lock_sequence")
def _lock_sequence(c, meter_id):
    """One transaction runs at a time."""


@answers(SERVICE, "find_by_key")
def _find_by_key(c, tenant_id, idempotency_key):
    rows = c.store.table("command").values()
    return [_named(c, r) for r in rows if r["idempotency_key"] == idempotency_key]


@answers(SERVICE, "find_command")
def _find_command(c, tenant_id, id):
    row = c.store.table("command").get(id)
    return [] if row is None else [_named(c, row)]


def _named(c, row):
    return row | {"meter": c.store.table("meter")[row["meter_id"]]["name"]}


@answers(SERVICE, "insert_command")
def _insert_command(c, id, meter_id, floor, now, **fields):
    rows = c.store.table("command").values()
    newest = max((r["sequence"] for r in rows if r["meter_id"] == meter_id), default=0)
    sequence = max(newest + 1, floor)
    more = dict.fromkeys(("proof", "relay", "resolved_at", "sent_at", "result_status", "detail"))
    row = {
        "id": UUID(str(id)),
        "meter_id": meter_id,
        "sequence": sequence,
        "created_at": now,
        "next_try_at": now,
        "state": "queued",
        "attempts": 0,
        **more,
        **fields,
    }
    c.store.insert("command", row["id"], row)
    return [row]


@answers(SERVICE, "set_state")
def _set_state(c, id, state, resolved_at, detail):
    resolve(c, id, state=state, resolved_at=resolved_at, detail=detail)


# --- prepayment -------------------------------------------------------------------------------


@answers(ENGINE, "lock_account")
def _lock_account(c, account_id):
    return [{"account_id": account_id}]


@answers(ENGINE, "locked_account")
def _locked_account(c, account_id):
    account = c.store.table("account")[account_id]
    supply = c.store.table("supply")[account_id]
    status = c.store.table("meter_status")[account["meter_id"]]
    command = c.store.table("command").get(supply["command_id"]) or {}
    never = dict.fromkeys(("idle_to", "rated_from", "rated_to", "notice_accepted_at"))
    return [
        {
            **account,
            **never,
            **{name: supply[name] for name in ("kept", "reason", "decided_at", "command_id")},
            "meter": c.store.table("meter")[account["meter_id"]]["name"],
            "due": supply["next_eval_at"] is not None,
            "zone": "UTC",
            "relay_taken": supply["relay_counter"],
            "relay": status["relay"],
            "relay_counter": status["relay_counter"],
            "last_seen": status["last_seen"],
            "base_at": Y2K,
            "wallet_mu": c.store.table("wallet")[account_id],
            "used": True,
            "breaker_open": False,
            "stopped": False,
            "command_state": command.get("state"),
            "command_relay": command.get("relay"),
            "command_sent_at": command.get("sent_at"),
            "command_seq": command.get("decision_seq"),
        }
    ]


@answers(ENGINE, "take_news")
def _take_news(c, account_id, stopped):
    table = c.store.table("news")
    taken = [key for key, row in table.items() if row["account_id"] == account_id]
    rows = [table[key] for key in taken]
    for key in taken:
        c.store.remove("news", key)
    return rows


@answers(ENGINE, "with_news")
def _with_news(c, limit, avoid):
    accounts = dict.fromkeys(row["account_id"] for row in c.store.table("news").values())
    return [{"account_id": a} for a in accounts if a not in avoid][:limit]


@answers(ENGINE, "due_supply")
def _due_supply(c, now, limit, avoid):
    rows = c.store.table("supply").items()
    due = [(a, r) for a, r in rows if r["next_eval_at"] and r["next_eval_at"] <= now]
    return [{"account_id": a} for a, _ in due if a not in avoid][:limit]


@answers(ENGINE, "save_supply")
def _save_supply(c, account_id, **fields):
    c.store.put("supply", account_id, fields)


@answers(ENGINE, "insert_event")
def _insert_event(c, kind, **_):
    c.store.add("event", {"kind": kind})


@answers(ENGINE, "insert_notice")
def _insert_notice(c, **fields):
    return [{"id": c.store.add("notice", fields)}]


@answers(ENGINE, "queue_deliveries")
def _queue_deliveries(c, **_):
    """No webhooks."""
