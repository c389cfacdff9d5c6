"""One look at one contract: its facts, its verdict, and what a transition's action does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from headend.prepayment import outbox, permission
from headend.prepayment.contract import Effect, EffectKind
from headend.prepayment.outbox import Kind, Status, SupplyCommand
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.states import TRANSITIONS, Action, Trigger
from ohmesh.model.command import RelayState

if TYPE_CHECKING:
    from headend.prepayment.contract import Policy, Supply
    from headend.prepayment.permission import Permission

CUTS_PER_DAY = 2
"""Automatic cuts of one contract in a local day: relays wear, and so do people."""
CUT_LIFE = timedelta(hours=12)
"""A cut's deadline where the hours never close."""


@dataclass(slots=True)
class Turn:
    """One look at a contract; effects gather in it."""

    policy: Policy
    wallet_mu: int
    now: datetime
    breaker_open: bool
    supply: Supply
    effects: list[Effect] = field(default_factory=list)

    def set(self, **changes: object) -> None:
        """Change what is kept."""
        self.supply = replace(self.supply, **changes)  # type: ignore[arg-type]  # our own names

    def tell(self, kind: EffectKind, name: str) -> None:
        """Have something done outside."""
        self.effects.append(Effect(kind, name))

    def alarm(self, name: str) -> None:
        """Raise an alarm once; it stands until its cause is gone."""
        if name not in self.supply.alarms:
            self.set(alarms=(*self.supply.alarms, name))
            self.tell(EffectKind.ALARM, name)

    def clear(self, *names: str) -> None:
        """The cause of an alarm is gone."""
        self.set(alarms=tuple(name for name in self.supply.alarms if name not in names))

    # -- facts ----------------------------------------------------------------------------------

    @property
    def floor_mu(self) -> int:
        """How far the wallet may fall."""
        lower = self.policy.emergency_limit_mu if self.supply.ec_active else 0
        return self.policy.disablement_mu - lower

    @property
    def exhausted(self) -> bool:
        """Whether it has fallen that far."""
        return self.wallet_mu <= self.floor_mu

    def permission(self, *, deciding: bool = True) -> Permission:
        """May supply be cut? An operator's hold needs neither credit notice nor fresh readings.

        The day's limit is for decisions: what was decided may still be sent.
        """
        s, p = self.supply, self.policy
        held = s.hold is not None
        context = PermissionContext(
            zone=p.zone,
            flags=s.flags,
            exempt=s.exempt,
            grace_until=s.grace_until,
            notice_minutes=None if held else p.notice_minutes,
            notice_at=s.notice_at,
            data_at=s.data_at,
            stale_after=None if held else p.stale_after,
            debt_mu=p.pack.minimum_debt_mu if held else p.disablement_mu - self.wallet_mu,
            breaker_open=self.breaker_open,
            cut_limit_until=self._cut_limit_until() if deciding else None,
        )
        return may_disconnect(self.now, p.pack, context)

    def _cut_limit_until(self) -> datetime | None:
        local = self.now.astimezone(self.policy.zone)
        today = [
            at
            for at in self.supply.cuts_at
            if at.astimezone(self.policy.zone).date() == local.date()
        ]
        if len(today) < CUTS_PER_DAY:
            return None
        tomorrow = local.date() + timedelta(days=1)
        midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self.policy.zone)
        return midnight.astimezone(self.now.tzinfo)

    def verdict(self) -> Trigger:
        """The contract as one trigger; it also says why a cut is not permitted."""
        s, p = self.supply, self.policy
        self.set(reason=None, next_eval_at=None)
        if s.hold is not None:
            return Trigger.HELD
        if self.wallet_mu > p.reconnect_mu:
            return Trigger.RUNNING_LOW if self.wallet_mu <= p.low_mu else Trigger.FUNDED
        if not self.exhausted:
            return Trigger.BORROWING if s.ec_active else Trigger.KEPT
        answer = self.permission()
        if answer.ok:
            return Trigger.CUT
        self.set(reason=answer.reason, next_eval_at=answer.next_permitted)
        return Trigger.BARRED

    # -- transitions ----------------------------------------------------------------------------

    def fire(self, trigger: Trigger) -> None:
        """One trigger through the table, and its action."""
        transition = TRANSITIONS.get((self.supply.state, trigger))
        if transition is None:
            return
        self.set(state=transition.to)
        _ACTIONS[transition.action](self)

    def decide(self, kind: Kind, *, needed: bool) -> None:
        """A new decision; a command for it where the relay does not stand right already."""
        on = kind is Kind.RECONNECT
        opposite = Kind.DISCONNECT if on else Kind.RECONNECT
        commands = outbox.supersede_unsent(self.supply.commands, opposite)
        seq = self.supply.decision_seq + 1
        if needed:
            deadline = None if on else self._window_end()
            commands = (*commands, SupplyCommand(kind, seq, self.now, deadline))
        self.set(desired_on=on, decision_seq=seq, commands=commands)

    def _window_end(self) -> datetime:
        closes = permission.next_closed(self.policy.pack, self.policy.zone, self.now)
        latest = self.now + CUT_LIFE
        return latest if closes is None else min(closes, latest)

    def in_flight(self, kind: Kind) -> bool:
        """Whether a command was on air whose effect has not been read back."""
        flying = {Status.SENT, Status.UNKNOWN}
        return any(c.kind is kind and c.status in flying for c in self.supply.commands)

    def open_command(self, kind: Kind) -> bool:
        """Whether the last decision has a command that still runs."""
        seq = self.supply.decision_seq
        return any(c.kind is kind and c.seq == seq and c.is_open for c in self.supply.commands)


def _cut(turn: Turn) -> None:
    off = turn.supply.actual in {RelayState.DISCONNECTED, RelayState.READY_FOR_RECONNECTION}
    needed = not off or turn.in_flight(Kind.RECONNECT)
    turn.decide(Kind.DISCONNECT, needed=needed)
    if needed:
        turn.set(cuts_at=(*turn.supply.cuts_at[-CUTS_PER_DAY:], turn.now))
    else:
        turn.fire(Trigger.RELAY_OFF)


def _restore(turn: Turn) -> None:
    """Bring supply back; where the cut never left, the relay is on and nothing is to be sent."""
    if turn.open_command(Kind.RECONNECT):
        return
    on = turn.supply.actual in {RelayState.CONNECTED, None}
    needed = not on or turn.in_flight(Kind.DISCONNECT)
    turn.decide(Kind.RECONNECT, needed=needed)
    if not needed:
        turn.fire(Trigger.RELAY_ON)


def _give_up(turn: Turn) -> None:
    commands = tuple(
        replace(c, status=Status.EXPIRED) if c.kind is Kind.DISCONNECT and c.is_open else c
        for c in turn.supply.commands
    )
    seq = turn.supply.decision_seq + 1
    turn.set(commands=commands, desired_on=True, decision_seq=seq)


def _bypass(turn: Turn) -> None:
    turn.alarm("relay_bypass")
    _give_up(turn)


def _hold(turn: Turn) -> None:
    """Hold supply off; even then the cut keeps to the permission."""
    off = turn.supply.actual is RelayState.DISCONNECTED and not turn.in_flight(Kind.RECONNECT)
    cut = not off and not turn.open_command(Kind.DISCONNECT) and turn.permission().ok
    if cut or turn.supply.desired_on:
        turn.decide(Kind.DISCONNECT, needed=cut)


def _release(turn: Turn) -> None:
    if turn.supply.actual is not RelayState.DISCONNECTED:
        turn.fire(Trigger.STILL_ON)


def _nothing(_: Turn) -> None:
    """A transition that changes the state alone."""


_ACTIONS = {
    Action.NONE: _nothing,
    Action.CUT: _cut,
    Action.RESTORE: _restore,
    Action.REPAIR: _restore,
    Action.GIVE_UP: _give_up,
    Action.BYPASS: _bypass,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
}
