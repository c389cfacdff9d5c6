"""How a top-up is split, and what a time debt takes: pure arithmetic in mu.

Two models of one account. A SMETS meter has registers: the wallet stops at the disablement
threshold and emergency credit is used beside it. We keep a floor: the wallet goes below zero, and
emergency credit only lowers the floor. Both give the same debt payments and the same answer on
reconnection: `floor_wallet = wallet - emergency_used`.

Order (SMETS2 meters): payment debt by share and cap, accumulated debt, the wallet up to the
disablement threshold, emergency credit, the rest to the wallet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ohmesh.model.errors import PrepaymentError

_BASIS_POINTS = 10_000
AMOUNT_MU_MAX = 2**53


@dataclass(frozen=True, slots=True)
class PaymentDebt:
    """A debt that each top-up pays a share of.

    Attributes:
        balance_mu: what is owed.
        share_bp: of each top-up, 100 bp are 1 %.
        cap_mu: the most that is taken in one period.
        taken_mu: taken in this period already.
    """

    balance_mu: int = 0
    share_bp: int = 0
    cap_mu: int = 0
    taken_mu: int = 0

    def share_of(self, amount_mu: int) -> int:
        """What a top-up pays of it."""
        share = amount_mu * self.share_bp // _BASIS_POINTS
        return max(0, min(share, self.cap_mu - self.taken_mu, self.balance_mu))


@dataclass(frozen=True, slots=True)
class Registers:
    """An account before a top-up, in the register model."""

    wallet_mu: int
    emergency_used_mu: int = 0
    accumulated_debt_mu: int = 0
    payment_debt: PaymentDebt = PaymentDebt()
    disablement_mu: int = 0
    reconnect_mu: int = 0

    @property
    def floor_wallet_mu(self) -> int:
        """The wallet of the floor model."""
        return self.wallet_mu - self.emergency_used_mu


@dataclass(frozen=True, slots=True)
class Split:
    """Where a top-up went; the five parts add up to it.

    `wallet_repair_mu`, `emergency_mu` and `wallet_rest_mu` are one wallet posting in the ledger.
    """

    payment_debt_mu: int
    accumulated_debt_mu: int
    wallet_repair_mu: int
    emergency_mu: int
    wallet_rest_mu: int
    wallet_after_mu: int
    floor_wallet_after_mu: int
    may_reconnect: bool

    @property
    def wallet_mu(self) -> int:
        """What the wallet is credited with."""
        return self.wallet_repair_mu + self.emergency_mu + self.wallet_rest_mu


def split(amount_mu: int, before: Registers) -> Split:
    """Split a top-up. Raises PrepaymentError(code="amount") unless 1..2**53."""
    if not 0 < amount_mu <= AMOUNT_MU_MAX:
        raise PrepaymentError("amount", f"an amount of {amount_mu} mu is not in 1..2**53")
    debt = before.payment_debt.share_of(amount_mu)
    left = amount_mu - debt
    accumulated = min(left, before.accumulated_debt_mu)
    left -= accumulated
    repair = min(left, max(0, before.disablement_mu - before.wallet_mu))
    left -= repair
    emergency = min(left, before.emergency_used_mu)
    rest = left - emergency
    floor_after = before.floor_wallet_mu + repair + emergency + rest
    return Split(
        payment_debt_mu=debt,
        accumulated_debt_mu=accumulated,
        wallet_repair_mu=repair,
        emergency_mu=emergency,
        wallet_rest_mu=rest,
        wallet_after_mu=before.wallet_mu + repair + rest,
        floor_wallet_after_mu=floor_after,
        may_reconnect=floor_after > before.reconnect_mu,
    )


@dataclass(frozen=True, slots=True)
class TimeDebt:
    """A debt collected in fixed amounts, once a local day or week."""

    balance_mu: int
    rate_mu: int
    in_emergency: bool = False
    """Whether it is taken even while the wallet is at or below the disablement threshold."""


def collect(debt: TimeDebt, wallet_mu: int, disablement_mu: int) -> int:
    """What one period takes from the wallet, mu; what is not taken stays owed."""
    if wallet_mu <= disablement_mu and not debt.in_emergency:
        return 0
    return min(debt.rate_mu, debt.balance_mu)


class PaymentState(StrEnum):
    """Where a payment is."""

    RECEIVED = "received"
    BOOKED = "booked"
    FAILED = "failed"
    SUSPENSE = "suspense"
    REVERSED = "reversed"


_P = PaymentState
PAYMENT_TRANSITIONS: dict[PaymentState, frozenset[PaymentState]] = {
    _P.RECEIVED: frozenset({_P.BOOKED, _P.FAILED, _P.SUSPENSE}),
    _P.FAILED: frozenset({_P.BOOKED, _P.SUSPENSE}),
    _P.SUSPENSE: frozenset({_P.BOOKED, _P.REVERSED}),
    _P.BOOKED: frozenset({_P.REVERSED}),
    _P.REVERSED: frozenset(),
}
"""A provider may say failed and success later: `failed` is not final. Suspense is for a person."""


def advance_payment(state: PaymentState, to: PaymentState) -> PaymentState:
    """The state after a report. Raises PrepaymentError(code="payment_state")."""
    if to is state:
        return state
    if to not in PAYMENT_TRANSITIONS[state]:
        raise PrepaymentError("payment_state", f"a payment that is {state} does not become {to}")
    return to


def receive(
    amount_mu: int, currency: str, *, known: bool, ledger_currency: str, maximum_mu: int
) -> tuple[PaymentState, str | None]:
    """Book a payment or put it in suspense, with the reason; it is never dropped."""
    if not known:
        return PaymentState.SUSPENSE, "unknown_contract"
    if currency != ledger_currency:
        return PaymentState.SUSPENSE, "currency"
    if amount_mu <= 0:
        return PaymentState.SUSPENSE, "amount_not_positive"
    if amount_mu > maximum_mu:
        return PaymentState.SUSPENSE, "amount_over_maximum"
    return PaymentState.BOOKED, None
