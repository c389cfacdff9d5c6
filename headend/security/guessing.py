"""Who may try a password now. Pure; the caller gives the time.

Theory of operation. An address may fail ten times a minute, and so may all strange browsers
together on one user. A browser that has signed in as a user before carries a sealed cookie that
says so, and has a share of its own: so whoever guesses at a user's password slows down strangers,
never the user (OWASP: device cookies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headend.security.limits import Limiter
from headend.security.secrets import is_sealed, seal

if TYPE_CHECKING:
    from headend.security.limits import Table

FAILURES_PER_MIN: Final = 10
_PER_S: Final = FAILURES_PER_MIN / 60


class Guesses:
    """Counts failed sign-ins.

    Args:
        key: seals the device cookies.
        table: where the tries are counted.
    """

    def __init__(self, key: bytes, table: Table | None = None) -> None:
        self._key = key
        self._addresses = Limiter(_PER_S, FAILURES_PER_MIN, table, "guess by address")
        self._users = Limiter(_PER_S, FAILURES_PER_MIN, table, "guess at user")

    def device(self, user: str) -> str:
        """The cookie for a browser in which the user has signed in."""
        return f"{seal(self._key, user)}.{user}"

    def wait_s(self, user: str, address: str, device: str, now_s: float) -> int:
        """Take one try; 0, or seconds to wait before the next. Give it back by `right`."""
        known = self._knows(user, device)
        name = f"known {user} {device}" if known else f"strange {user}"
        by_address = 0 if known else self._addresses.wait_s(address, now_s)
        wait_s = by_address or self._users.take(name, now_s)
        if not wait_s and not known:
            self._addresses.take(address, now_s)
        return wait_s

    def _knows(self, user: str, device: str) -> bool:
        shown, _, name = device.partition(".")
        return name == user and is_sealed(self._key, user, shown)
