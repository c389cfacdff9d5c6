"""A top-up: nothing is lost, and both models of the account agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headend.prepayment.topup import PaymentDebt, Registers, split

mu = st.integers(0, 2**40)
debts = st.builds(PaymentDebt, mu, st.integers(0, 10_000), mu, mu)


@st.composite
def accounts(draw):
    disablement = draw(st.integers(-(2**30), 2**30))
    return Registers(
        wallet_mu=draw(st.integers(-(2**40), 2**40)),
        emergency_used_mu=draw(mu),
        accumulated_debt_mu=draw(mu),
        payment_debt=draw(debts),
        disablement_mu=disablement,
        reconnect_mu=disablement + draw(mu),
    )


@given(st.integers(1, 2**45), accounts())
def test_the_parts_add_up_and_none_is_negative(amount, before):
    made = split(amount, before)
    parts = (
        made.payment_debt_mu,
        made.accumulated_debt_mu,
        made.wallet_repair_mu,
        made.emergency_mu,
        made.wallet_rest_mu,
    )
    assert min(parts) >= 0
    assert sum(parts) == amount
    assert made.payment_debt_mu <= before.payment_debt.balance_mu
    assert made.accumulated_debt_mu <= before.accumulated_debt_mu


@given(st.integers(1, 2**45), accounts())
def test_the_floor_model_is_the_register_model(amount, before):
    made = split(amount, before)
    emergency_after = before.emergency_used_mu - made.emergency_mu
    assert made.floor_wallet_after_mu == before.floor_wallet_mu + made.wallet_mu
    assert made.floor_wallet_after_mu == made.wallet_after_mu - emergency_after
    assert made.may_reconnect == (made.floor_wallet_after_mu > before.reconnect_mu)


@given(st.integers(1, 2**45), st.integers(0, 2**30), accounts())
def test_more_money_never_leaves_a_customer_worse_off(amount, more, before):
    less_paid, more_paid = split(amount, before), split(amount + more, before)
    assert more_paid.floor_wallet_after_mu >= less_paid.floor_wallet_after_mu
    assert more_paid.may_reconnect >= less_paid.may_reconnect
