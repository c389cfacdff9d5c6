"""Scenarios of the cut-off, event by event on virtual time, through the product's state machine.

A scenario's contract has one flat price. The runner keeps what the database keeps in service (the
posted balance, the keys of top-ups); rating, the split of a top-up, clock skew, permission,
decisions and the outbox are the product's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headend.check.vectors import Vector, compare
from headend.prepayment import charging, contract, cutoff, skew, topup
from headend.prepayment.charging import RatingState
from headend.prepayment.contract import EffectKind, Policy, Supply
from headend.prepayment.intervals import Interval, Quality
from headend.prepayment.outbox import Kind
from headend.prepayment.rules import load_pack
from headend.prepayment.skew import SkewVerdict
from headend.prepayment.states import State
from headend.prepayment.tariff import load_tariff
from ohmesh.model.command import RelayState
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headend.prepayment.contract import Event
    from headend.prepayment.tariff import Tariff

_INTERVAL_MINUTES = 15
_ARMED_MODES = {1, 3, 5, 6}
"""DLMS control modes in which the customer has to press a button."""


def check_scenario(vector: Vector) -> Iterator[str]:
    """All steps; each difference names its step."""
    runner = _Runner.of(vector["contract"])
    for number, step in enumerate(vector.get("steps") or vector["events"]):
        runner.step(_utc(step["t"]), step["event"])
        for difference in compare(step.get("expect", {}), runner.seen()):
            yield f"step {number} ({step['t']} {step['event']['type']}): {difference}"


def _policy(content: dict[str, Any]) -> Policy:
    return Policy(
        contract="vector",
        pack=load_pack(content["pack"]),
        zone=ZoneInfo(content["tz"]),
        low_mu=content["low_threshold"],
        disablement_mu=content["disablement_threshold"],
        reconnect_mu=content["reconnect_threshold"],
        emergency_limit_mu=content["emergency_limit"],
        emergency_auto=content["emergency_auto"],
        notice_minutes=content["notice_minutes"],
        stale_after=timedelta(hours=content["stale_after_h"]),
        takes_tokens=content.get("takes_tokens", True),
    )


def _begin(content: dict[str, Any], policy: Policy) -> Supply:
    on, wallet_mu = content["start_relay"] == "on", content["start_wallet"]
    hold = content.get("hold")
    state = State.HOLD if hold else State.ACTIVE if on else State.OFF
    return Supply(
        state=state,
        desired_on=on and not hold,
        actual=RelayState.CONNECTED if on else RelayState.DISCONNECTED,
        hold=hold,
        exempt=content.get("exempt", False),
        flags=frozenset(content.get("flags", ())),
        low_sent=wallet_mu <= policy.low_mu,
        zero_sent=not on and wallet_mu <= policy.disablement_mu,
    )


@dataclass(slots=True)
class _Runner:
    """One contract on virtual time."""

    policy: Policy
    supply: Supply
    wallet_mu: int
    tariff: Tariff
    rating: RatingState = field(default_factory=RatingState)
    topups: dict[str, int] = field(default_factory=dict)
    readings: int = 0
    now: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    armed_mode: bool = False
    quarantined: int = 0
    skew_s: int = 0
    paused: bool = False
    breaker_open: bool = False
    effects: list[contract.Effect] = field(default_factory=list)
    error: str | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> _Runner:
        policy = _policy(content)
        tariff = load_tariff(
            {
                "id": "vector",
                "version": 1,
                "valid_from": "2000-01-01T00:00:00Z",
                "tz": content["tz"],
                "block_upto_wh": [None],
                "price_mu_per_kwh": {"all": [content["price_mu_per_kwh"]]},
            }
        )
        return cls(
            policy,
            _begin(content, policy),
            content["start_wallet"],
            tariff,
            armed_mode=content["control_mode"] in _ARMED_MODES,
        )

    def step(self, now: datetime, event: dict[str, Any]) -> None:
        """One event, the notice's acceptance, and the outbox's turn."""
        self.effects, self.error, self.now = [], None, now
        self.paused = event.get("outbox_paused", self.paused)
        try:
            _HANDLERS[event["type"]](self, now, event)
        except PrepaymentError as error:
            self.error = error.code
        notices = {e.name for e in self.effects if e.kind is EffectKind.NOTICE}
        if "zero" in notices and event.get("notice_accepted", True):
            self.apply(now, contract.NoticeAccepted())
        if not self.paused:
            self.supply = cutoff.send(
                self.policy, self.supply, self.wallet_mu, now, breaker_open=self.breaker_open
            )

    def apply(self, now: datetime, event: Event) -> None:
        """One event of the state machine."""
        self.supply, effects = cutoff.apply(
            self.policy, self.supply, event, self.wallet_mu, now, breaker_open=self.breaker_open
        )
        self.effects.extend(effects)

    def seen(self) -> dict[str, Any]:
        """What a step may expect."""
        s = self.supply
        commands = [
            {"kind": c.kind.value, "seq": c.seq, "status": c.status.value} for c in s.commands
        ]
        return {
            "wallet": self.wallet_mu,
            "state": s.state.value,
            "reason": s.reason,
            "next_permitted": _text(s.next_eval_at),
            "desired": "on" if s.desired_on else "off",
            "relay": "on" if s.actual is RelayState.CONNECTED else "off",
            "decision_seq": s.decision_seq,
            "commands": commands,
            "flags": self._flags(),
            "alarms": list(s.alarms),
            "notices": [e.name for e in self.effects if e.kind is EffectKind.NOTICE],
            "actions": [e.name for e in self.effects if e.kind is EffectKind.ACTION],
            "grace_until": _text(s.grace_until),
            "quarantined": self.quarantined,
            "skew_s": self.skew_s,
            "ec_active": s.ec_active,
            "error": self.error,
        }

    def _flags(self) -> list[str]:
        stale = self.supply.is_stale(self.now, self.policy.stale_after)
        return ["UNREACHABLE"] * self.supply.unreachable + ["STALE_DATA"] * stale

    def charge(self, now: datetime, wh: int, quality: Quality) -> None:
        """Rate one more interval; each event is an interval of its own."""
        self.readings += 1
        start = now - timedelta(minutes=_INTERVAL_MINUTES)
        interval = Interval(start, _INTERVAL_MINUTES, wh, quality, meter=self.readings)
        rated = charging.rate((self.tariff,), [interval], self.rating, now)
        self.rating = rated.state
        self.wallet_mu -= sum(posting.amount_mu for posting in rated.postings)


def _usage(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    runner.skew_s = event.get("skew_s", 0)
    if skew.judge(timedelta(seconds=runner.skew_s)) is SkewVerdict.QUARANTINE:
        runner.quarantined += 1
        runner.apply(now, contract.ClockSkewed())
        return
    if event.get("estimated") or event.get("quality") == "estimated":
        runner.charge(now, event["wh"], Quality.ESTIMATED)
        runner.apply(now, contract.Tick())
        return
    runner.charge(now, event["wh"], Quality.ACTUAL)
    until = _utc(event["interval_end"]) if "interval_end" in event else now
    runner.apply(now, contract.Reading(until, event["wh"]))


def _topup(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    known = runner.topups.get(event["key"])
    if known is not None and known != event["amount"]:
        raise PrepaymentError("conflict", "the key belongs to another top-up")
    if known is not None:
        runner.apply(now, contract.Tick())
        return
    runner.topups[event["key"]] = event["amount"]
    split = topup.split(event["amount"], topup.Registers(runner.wallet_mu))
    runner.wallet_mu += split.wallet_mu
    runner.apply(now, contract.ToppedUp())


def _post(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    """An adjustment or a reversal."""
    amount = event.get("amount") or runner.topups.get(event.get("key", ""), 0)
    runner.wallet_mu += amount if event["type"] == "adjust" else -amount
    migrated = event.get("code") == "migration_credit"
    runner.apply(now, contract.Migrated() if migrated else contract.Tick())


def _relay(event: dict[str, Any]) -> RelayState:
    if "control_state" in event:
        return RelayState(event["control_state"])
    return RelayState.CONNECTED if event["output_state"] else RelayState.DISCONNECTED


def _ack(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    """In an armed mode a reconnection that leaves the output off has made the meter ready."""
    relay = _relay(event)
    command = next((c for c in runner.supply.commands if c.seq == event["seq"]), None)
    reconnect = command is not None and command.kind is Kind.RECONNECT
    if runner.armed_mode and reconnect and relay is RelayState.DISCONNECTED:
        relay = RelayState.READY_FOR_RECONNECTION
    runner.apply(now, contract.Ack(event["seq"], relay))


def _flag(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    name, value = event.get("flag") or event["name"], event.get("value", True)
    flags = runner.supply.flags - {name} if not value else runner.supply.flags | {name}
    exempt = value if name == "exempt" else runner.supply.exempt
    runner.apply(now, contract.FlagsChanged(flags - {"exempt"}, exempt))


def _breaker(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
    runner.breaker_open = event.get("open", event["type"] == "breaker_open")
    runner.apply(now, contract.Tick())


def _simple(
    make: Callable[[dict[str, Any]], Event],
) -> Callable[[_Runner, datetime, dict[str, Any]], None]:
    def handle(runner: _Runner, now: datetime, event: dict[str, Any]) -> None:
        runner.apply(now, make(event))

    return handle


def _resume(runner: _Runner, now: datetime, _: dict[str, Any]) -> None:
    runner.paused = False
    runner.apply(now, contract.Tick())


def _clock_set(runner: _Runner, now: datetime, _: dict[str, Any]) -> None:
    runner.skew_s = 0
    runner.apply(now, contract.ClockSet())


_take_emergency = _simple(lambda _: contract.EmergencyTaken())
_HANDLERS: dict[str, Callable[[_Runner, datetime, dict[str, Any]], None]] = {
    "usage": _usage,
    "topup": _topup,
    "adjust": _post,
    "reversal": _post,
    "tick": _simple(lambda _: contract.Tick()),
    "ack": _ack,
    "flag": _flag,
    "flag_change": _flag,
    "breaker": _breaker,
    "breaker_open": _breaker,
    "breaker_close": _breaker,
    "timeout": _simple(lambda e: contract.Timeout(e["seq"])),
    "link_up": _simple(lambda _: contract.LinkUp()),
    "relay_read": _simple(lambda e: contract.RelayRead(_relay(e))),
    "manual_reconnect": _simple(lambda _: contract.RelayRead(RelayState.CONNECTED)),
    "hold": _simple(lambda e: contract.HoldSet(e["reason"])),
    "hold_release": _simple(lambda e: contract.HoldReleased(e["by"], e["approved_by"])),
    "emergency": _take_emergency,
    "emergency_accept": _take_emergency,
    "emergency_activate": _take_emergency,
    "outbox_resume": _resume,
    "clock_set_ack": _clock_set,
}


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
