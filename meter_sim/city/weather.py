"""How links change with time: fading, flaky links, jammed places. A function of seed and time.

Nothing is stored a link: the shift of a link at a moment is hashed from the seed, its two ends and
the time, for one link or for a row of them; both ways of a link share it.

- Fading: a normal number at knots 10 min apart, straight lines between them: slow, about 2 dB.
- Flaky links: some links are 10 dB worse for 20 s in each period, at a moment drawn a period
  (Gilbert-Elliott with fixed times in both states).
- Jammed receivers hear everything 10 dB weaker above the noise until a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from meter_sim.city.dice import hash_arrays, hash_ints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KNOT_US = 600_000_000
BAD_TENTHS = 100
_FADE, _FLAKY, _PHASE = 31, 32, 33
_STEPS = 256
_UNIT = np.array([NormalDist().inv_cdf((n + 0.5) / _STEPS) for n in range(_STEPS)])


@dataclass(slots=True)
class Weather:
    """What moves the links of a city.

    Attributes:
        seed: of all of it.
        fading_tenths: standard deviation of the slow fading, tenths of a decibel.
        flaky_percent: share of the links that are flaky.
        good_us, bad_us: how long a flaky link is good and bad in each period.
        jammed: receiver -> until when it is jammed.
    """

    seed: int = 0
    fading_tenths: int = 0
    flaky_percent: int = 0
    good_us: int = 600_000_000
    bad_us: int = 20_000_000
    jammed: dict[int, int] = field(default_factory=dict)

    @property
    def is_still(self) -> bool:
        """Whether no link ever changes."""
        return not (self.fading_tenths or self.flaky_percent or self.jammed)

    def jam(self, receivers: Iterable[int], until_us: int) -> None:
        """Drown the receivers in noise until a moment."""
        self.jammed.update(dict.fromkeys(receivers, until_us))

    def shift_tenths(self, now_us: int, transmitter: int, receiver: int) -> int:
        """What a link has more than its table says, tenths of a decibel."""
        low, high = min(transmitter, receiver), max(transmitter, receiver)
        shift = -BAD_TENTHS if self.jammed.get(receiver, 0) > now_us else 0
        if self.fading_tenths:
            shift += self._faded(now_us, low, high)
        if self.flaky_percent and self._is_bad(now_us, low, high):
            shift -= BAD_TENTHS
        return shift

    def shifts_tenths(
        self, now_us: int, transmitter: int, receivers: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The same for a row of receivers. Shape: that of `receivers`."""
        low = np.minimum(transmitter, receivers).astype(np.uint64)
        high = np.maximum(transmitter, receivers).astype(np.uint64)
        shifts = np.zeros(receivers.shape, dtype=np.int64)
        if self.fading_tenths:
            shifts += self._faded_row(now_us, low, high)
        if self.flaky_percent:
            shifts -= BAD_TENTHS * self._bad_row(now_us, low, high)
        if self.jammed:
            until_us = [self.jammed.get(receiver, 0) for receiver in receivers.tolist()]
            shifts -= BAD_TENTHS * (np.array(until_us, dtype=np.int64) > now_us)
        return shifts

    def _levels(self) -> NDArray[np.int64]:
        levels: NDArray[np.int64] = np.rint(_UNIT * self.fading_tenths).astype(np.int64)
        return levels

    def _faded(self, now_us: int, low: int, high: int) -> int:
        knot, inside_us = divmod(now_us, KNOT_US)
        levels = self._levels()
        one, other = (
            int(levels[hash_ints(self.seed, _FADE, at, low, high) % _STEPS])
            for at in (knot, knot + 1)
        )
        return one + (other - one) * inside_us // KNOT_US

    def _faded_row(
        self, now_us: int, low: NDArray[np.uint64], high: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        knot, inside_us = divmod(now_us, KNOT_US)
        levels = self._levels()
        one, other = (
            levels[hash_arrays(hash_ints(self.seed, _FADE, at), low, high) % np.uint64(_STEPS)]
            for at in (knot, knot + 1)
        )
        faded: NDArray[np.int64] = one + (other - one) * inside_us // KNOT_US
        return faded

    def _is_bad(self, now_us: int, low: int, high: int) -> bool:
        if hash_ints(self.seed, _FLAKY, low, high) % 100 >= self.flaky_percent:
            return False
        period, inside_us = divmod(now_us, self.good_us + self.bad_us)
        begins_us = hash_ints(self.seed, _PHASE, period, low, high) % (self.good_us + 1)
        return begins_us <= inside_us < begins_us + self.bad_us

    def _bad_row(
        self, now_us: int, low: NDArray[np.uint64], high: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        flaky = hash_arrays(hash_ints(self.seed, _FLAKY), low, high) % np.uint64(100)
        period, inside_us = divmod(now_us, self.good_us + self.bad_us)
        start = hash_ints(self.seed, _PHASE, period)
        begins_us = hash_arrays(start, low, high) % np.uint64(self.good_us + 1)
        begun = begins_us <= np.uint64(inside_us)
        over = begins_us + np.uint64(self.bad_us) <= np.uint64(inside_us)
        bad: NDArray[np.bool_] = (flaky < np.uint64(self.flaky_percent)) & begun & ~over
        return bad


STILL = Weather()
"""Links as their table says; not to be jammed."""
