"""Top-ups, debts and payments."""

from __future__ import annotations

import pytest

from headend.prepayment import topup
from headend.prepayment.topup import PaymentState, TimeDebt
from ohmesh.model.errors import PrepaymentError


@pytest.mark.parametrize("amount", [0, -1, 2**53 + 1])
def test_an_amount_out_of_range_is_refused(amount):
    with pytest.raises(PrepaymentError) as refused:
        topup.split(amount, topup.Registers(0))
    assert refused.value.code == "amount"


def test_a_debt_share_never_exceeds_the_cap_and_a_cap_already_passed_takes_nothing():
    debt = topup.PaymentDebt(balance_mu=1000, share_bp=5000, cap_mu=100, taken_mu=150)
    assert debt.share_of(500) == 0


def test_time_debt_is_taken_above_the_threshold_and_never_more_than_is_owed():
    debt = TimeDebt(balance_mu=70, rate_mu=50)
    assert topup.collect(debt, wallet_mu=10, disablement_mu=0) == 50
    assert topup.collect(debt, wallet_mu=0, disablement_mu=0) == 0
    last = TimeDebt(balance_mu=20, rate_mu=50, in_emergency=True)
    assert topup.collect(last, wallet_mu=-5, disablement_mu=0) == 20


def test_failed_is_not_final_and_booked_stays_booked():
    state = topup.advance_payment(PaymentState.RECEIVED, PaymentState.FAILED)
    assert topup.advance_payment(state, PaymentState.BOOKED) is PaymentState.BOOKED
    assert topup.advance_payment(PaymentState.BOOKED, PaymentState.BOOKED) is PaymentState.BOOKED
    for wrong in (PaymentState.FAILED, PaymentState.SUSPENSE, PaymentState.RECEIVED):
        with pytest.raises(PrepaymentError):
            topup.advance_payment(PaymentState.BOOKED, wrong)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"known": False}, "unknown_contract"),
        ({"currency": "USD"}, "currency"),
        ({"amount_mu": 0}, "amount_not_positive"),
        ({"amount_mu": 1001}, "amount_over_maximum"),
    ],
)
def test_what_cannot_be_booked_waits_in_suspense(change, reason):
    payment = {
        "amount_mu": 1000,
        "currency": "GBP",
        "known": True,
        "ledger_currency": "GBP",
        "maximum_mu": 1000,
    }
    state, why = topup.receive(**{**payment, **change})
    assert why == reason
    assert state is (PaymentState.SUSPENSE if reason else PaymentState.BOOKED)
