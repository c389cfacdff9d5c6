"""The link estimate: expected transmissions in 128ths, integer EWMA (Contiki link-stats)."""

from ohmesh.mesh import constants as c

_GUESS_BEST = c.ETX_ONE * 17 // 16
"""A proven perfect link is a little better than one that only sounds so."""


def from_rssi(rssi_dbm: int) -> int:
    """Return the first guess for a link: hardly over 1 down to a cliff of 4 dB, then 4."""
    below = c.RSSI_GOOD_DBM - rssi_dbm
    if below <= 0:
        return _GUESS_BEST
    return c.RSSI_ETX_128THS[below - 1] if below <= len(c.RSSI_ETX_128THS) else c.MAX_LINK_METRIC


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
