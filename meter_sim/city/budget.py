"""How much each radio may be on the air: a token bucket an hour (865 to 868 MHz rules).

A meter may send 1 % of the time, a gateway as an access point 10 % (docs/mesh, section 3). A radio
that has used its hour up stays silent: what it should have sent is lost, as to bad reception.
"""

from __future__ import annotations

from array import array

HOUR_US = 3_600_000_000
METER_SHARE, GATEWAY_SHARE = 100, 10
"""One part in so many."""


class Budget:
    """Airtime of each node, numbered from 1."""

    def __init__(self, nodes: int, gateways: int) -> None:
        """Everybody starts with a full hour."""
        self._gateways = gateways
        self._spent_us = array("q", bytes(8 * (nodes + 1)))
        self._until_us = array("q", bytes(8 * (nodes + 1)))
        self.refused = 0
        """Transmissions that did not happen."""
        self._over: set[int] = set()

    @property
    def over(self) -> int:
        """How many radios ever had to be silent."""
        return len(self._over)

    def spend(self, now_us: int, node: int, airtime_us: int) -> bool:
        """Take airtime from a node's bucket. Returns: False when the bucket has not so much.

        The bucket holds an hour's worth and fills at the permitted share: what is spent is the
        debt at a moment that decays with time.
        """
        share = GATEWAY_SHARE if node <= self._gateways else METER_SHARE
        refill_us = (now_us - self._until_us[node]) // share
        if refill_us > 0:
            self._spent_us[node] = max(0, self._spent_us[node] - refill_us)
            self._until_us[node] += refill_us * share
        spent_us = self._spent_us[node] + airtime_us
        if spent_us > HOUR_US // share:
            self.refused += 1
            self._over.add(node)
            return False
        self._spent_us[node] = spent_us
        return True
