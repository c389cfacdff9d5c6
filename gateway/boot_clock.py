"""Stamps before the clock is right: a Pi has no clock chip, and wakes up in the past.

Theory of operation. While the clock shows a time before `RIGHT_FROM_MS`, a telegram is stamped with
the milliseconds since the machine's boot and a mark of that boot; the mark lies far above any time,
so nobody takes such a stamp for one. When the clock has become right, the time of a stamp of this
boot is exact: now, less its age. Of an earlier boot nobody knows how long the machine was off: its
telegrams are older than this boot, and get the time of its beginning. Until then they stay in the
outbox, because a head-end would file them under a wrong day.

    bits 62..60   001
    bits 59..36   CRC-24 part of the boot's identity
    bits 35..0    milliseconds since boot, two years
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ohmesh.model.telegram import Telegram

RIGHT_FROM_MS = 1_767_225_600_000
"""2026-01-01: this program did not exist before."""
UNKNOWN_FROM_MS = 1 << 60
_AGE_BITS = 36
_AGE_MASK = (1 << _AGE_BITS) - 1
_BOOT_MASK = 0xFFFFFF


@dataclass(frozen=True, slots=True)
class BootClock:
    """The clock, and what to do without it.

    Attributes:
        utc_ms: UTC milliseconds since 1970, or what the machine believes.
        uptime_ms: milliseconds since boot, sleep included.
        boot: identity of this boot.
    """

    utc_ms: Callable[[], int]
    uptime_ms: Callable[[], int]
    boot: str

    @property
    def right(self) -> bool:
        """Whether the clock can be believed."""
        return self.utc_ms() >= RIGHT_FROM_MS

    def stamped(self, telegram: Telegram) -> Telegram:
        """The telegram as it is kept: stamped by its time since boot while the clock is wrong."""
        if self.right:
            return telegram
        stamp = UNKNOWN_FROM_MS | self._mark << _AGE_BITS | self.uptime_ms() & _AGE_MASK
        return replace(telegram, received_at_ms=stamp)

    def dated(self, telegram: Telegram) -> Telegram | None:
        """The telegram as it travels; None while its time cannot be told."""
        stamp = telegram.received_at_ms
        if stamp < UNKNOWN_FROM_MS:
            return telegram
        if not self.right:
            return None
        boot_at_ms = self.utc_ms() - self.uptime_ms()
        of_this_boot = stamp >> _AGE_BITS & _BOOT_MASK == self._mark
        since_boot_ms = stamp & _AGE_MASK if of_this_boot else 0
        return replace(telegram, received_at_ms=boot_at_ms + since_boot_ms)

    @property
    def _mark(self) -> int:
        return zlib.crc32(self.boot.encode()) & _BOOT_MASK
