"""The link estimate: expected transmissions in 128ths, integer EWMA (Contiki link-stats)."""

from ohmesh.mesh import constants as c


def from_rssi(rssi_dbm: int) -> int:
    """Return the first guess for a link: ETX 1.25 when strong, rising to 4 at the sensitivity."""
    best = c.ETX_ONE * 5 // 4
    if rssi_dbm >= c.RSSI_GOOD_DBM:
        return best
    if rssi_dbm <= c.RSSI_POOR_DBM:
        return c.MAX_LINK_METRIC
    span = c.RSSI_GOOD_DBM - c.RSSI_POOR_DBM
    return best + (c.MAX_LINK_METRIC - best) * (c.RSSI_GOOD_DBM - rssi_dbm) // span


def fold(etx_128ths: int, *, attempts: int, ok: bool, samples: int) -> int:
    """Fold one exchange into the estimate.

    Args:
        etx_128ths: estimate so far, 128 = one transmission.
        attempts: transmissions used; without acknowledgement four more are charged.
        ok: True if acknowledged.
        samples: exchanges folded before: the first weighs 1/2, a young link 1/4, an old one 1/10.

    Returns:
        The new estimate, clamped to 128 .. 1024.
    """
    sample = c.ETX_ONE * (attempts if ok else attempts + c.ETX_FAILURE_EXTRA)
    weight = 2 if samples == 0 else 4 if samples < c.YOUNG_SAMPLES else 10
    return max(c.ETX_ONE, min(c.ETX_MAX, etx_128ths + (sample - etx_128ths) // weight))
