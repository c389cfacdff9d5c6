"""Energy for money, where blocks count the kilowatt-hours bought this month."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WH_PER_KWH = 1000
_WH_PER_TENTH = 100


@dataclass(frozen=True, slots=True)
class Purchase:
    """Energy bought, exactly; a token rounds it up in the customer's favour."""

    exact_wh: Fraction

    @property
    def wh(self) -> int:
        """Whole Wh, rounded down: what the block counter advances by."""
        return floor(self.exact_wh)

    @property
    def token_tenths_kwh(self) -> int:
        """Tenths of a kWh, rounded up: what an STS token carries."""
        return ceil(self.exact_wh / _WH_PER_TENTH)


def buy(
    amount_mu: int,
    bought_wh: int,
    *,
    block_upto_wh: Sequence[int | None],
    price_mu_per_kwh: Sequence[int],
) -> Purchase:
    """Turn money into energy, from `bought_wh` of this month on.

    Args:
        amount_mu: above 0.
        bought_wh: bought earlier in the same local month.
        block_upto_wh: rising edges, the last None.
        price_mu_per_kwh: one a block, taxes included.

    Raises:
        PrepaymentError: `amount`; `free_block`: a block without a price would give without end.
    """
    if amount_mu <= 0:
        raise PrepaymentError("amount", f"{amount_mu} mu buy nothing")
    left, energy, counter = Fraction(amount_mu), Fraction(0), Fraction(bought_wh)
    for upto, price in zip(block_upto_wh, price_mu_per_kwh, strict=True):
        if upto is not None and counter >= upto:
            continue
        room = None if upto is None else upto - counter
        wh = _affordable(left, price, room)
        energy, counter = energy + wh, counter + wh
        left -= wh * price / _WH_PER_KWH
        if left == 0:
            break
    return Purchase(energy)


def buy_after(
    amount_mu: int,
    spent_mu: int,
    *,
    block_upto_wh: Sequence[int | None],
    price_mu_per_kwh: Sequence[int],
) -> Purchase:
    """The same, from money spent this month: any split of a sum buys the same energy.

    Raises: as `buy`.
    """

    def bought(mu: int) -> Fraction:
        if not mu:
            return Fraction(0)
        made = buy(mu, 0, block_upto_wh=block_upto_wh, price_mu_per_kwh=price_mu_per_kwh)
        return made.exact_wh

    if amount_mu <= 0:
        raise PrepaymentError("amount", f"{amount_mu} mu buy nothing")
    return Purchase(bought(spent_mu + amount_mu) - bought(spent_mu))


def _affordable(money: Fraction, price: int, room: Fraction | None) -> Fraction:
    if price == 0:
        if room is None:
            raise PrepaymentError("free_block", "the last block has no price")
        return room
    wh = money * _WH_PER_KWH / price
    return wh if room is None else min(wh, room)
