"""What systemd is told: that we are ready, that we still work, that we stop (sd_notify(3)).

The watchdog hears of us only while both ends move: the outbox's thread does a piece of work, and
the uplink has turned lately. A program whose loop runs while one of them hangs is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Final, Protocol

from ohmesh.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_log = logging.getLogger(__name__)
_OUTBOX_S: Final = 30.0
"""A worn card may take seconds for a sync."""
_UPLINK_S: Final = 150.0
"""A full batch on a line of 9.6 kbit/s takes a minute, and its time-out is two."""


class Notify(Protocol):
    """Tells systemd."""

    def __call__(self, text: str) -> None:
        """Such as `READY=1`."""


def notifier(environment: Mapping[str, str] = os.environ) -> Notify:
    """For the socket that systemd gave us; without one it tells nobody."""
    place = environment.get("NOTIFY_SOCKET", "")

    def notify(text: str) -> None:
        if not place:
            return
        address = "\0" + place[1:] if place.startswith("@") else place
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK  # who does not read must not stop us
        with socket.socket(socket.AF_UNIX, kind) as out, contextlib.suppress(OSError):
            out.sendto(text.encode(), address)

    return notify


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants to hear of us; None when it does not."""
    ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    wanted = environment.get("WATCHDOG_USEC", "")
    return int(wanted) / 1e6 if ours and wanted.isdecimal() else None


class Pulse:
    """Tells the watchdog as long as the program works."""

    def __init__(
        self,
        notify: Notify,
        *,
        outbox: Callable[[], Awaitable[None]],
        uplink_idle_s: Callable[[], float],
        status: Callable[[], str],
    ) -> None:
        """Connect the parts.

        Args:
            notify: to systemd.
            outbox: does a piece of work in the outbox; a StoreError is work too.
            uplink_idle_s: since when the uplink has not turned.
            status: a line for `systemctl status`.
        """
        self._notify = notify
        self._outbox = outbox
        self._uplink_idle_s = uplink_idle_s
        self._status = status

    async def run(self, within_s: float | None) -> None:
        """Until cancelled, three times as often as wanted."""
        self._notify("READY=1")
        while within_s is not None:
            why = await self.stalled()
            if why:
                _log.error("%s: the watchdog will start this program again", why)
            else:
                self._notify(f"WATCHDOG=1\nSTATUS={self._status()}")
            await asyncio.sleep(within_s / 3)
        await asyncio.Event().wait()

    async def stalled(self) -> str:
        """What hangs; "" while all works."""
        try:
            async with asyncio.timeout(_OUTBOX_S):
                await self._outbox()
        except TimeoutError:
            return "the outbox does nothing"
        except StoreError:
            pass  # it is told elsewhere, and it did not hang
        return "the uplink does nothing" if self._uplink_idle_s() > _UPLINK_S else ""
