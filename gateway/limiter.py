"""The gateway's own word on taking supply away, whatever the head-end orders.

Theory of operation. A command under the seal that takes supply away goes to its meter only with a
release that a trusted gate has signed for this meter and this command, and only while fewer than
max(3, 10 %) of the meters heard here were ordered off within the last hour. Above that it needs
the signatures of two people under `release:<command id>`; such a command counts too. A command is
counted on disk before it leaves, so a failing disk refuses it.

The hour is one of uptime, which nobody can set; what another boot has counted counts as of now, so
neither a reboot nor a clock that jumps lets more through. The meters heard are counted anew at each
start, so the limit begins at three and never rests on what somebody says about the fleet.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from ohmesh.model.errors import WireError
from ohmesh.wire.release import Approval, open_release, two_people

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ohmesh.wire.downlink import DownMessage

HOUR_S: Final = 3600
LEAST: Final = 3
PERCENT: Final = 10
_DAY_S: Final = 86_400
_HEARD_MAX: Final = 100_000


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """The file: which boot wrote it, and meter -> seconds of its uptime."""

    boot: str
    counted: dict[str, int]


_decoder = msgspec.msgpack.Decoder(_Kept)


@dataclass(slots=True)
class Census:
    """How many meters are heard: within the present day of uptime and the one before."""

    _today: set[str] = field(default_factory=set)
    _before: set[str] = field(default_factory=set)
    _day: int = 0

    def hear(self, meters: Iterable[str], uptime_s: int) -> None:
        """Telegrams of these meters were committed; "" is none."""
        day = uptime_s // _DAY_S
        if day != self._day:
            self._before = self._today if day == self._day + 1 else set()
            self._today, self._day = set(), day
        if len(self._today) < _HEARD_MAX:
            self._today.update(filter(None, meters))

    @property
    def meters(self) -> int:
        """How many different ones."""
        return len(self._today | self._before)


@dataclass(slots=True)
class Limiter:
    """The meters ordered off within the last hour.

    Attributes:
        boot: identity of this boot.
        counted: meter -> seconds of uptime when it was last ordered off.
        shut_until_s: uptime before which nothing passes, as after a damaged file.
    """

    boot: str
    counted: dict[str, int] = field(default_factory=dict)
    shut_until_s: int = 0

    @classmethod
    def load(cls, octets: bytes | None, boot: str, uptime_s: int) -> Limiter:
        """From the file's bytes, None without a file; a damaged one shuts for an hour."""
        if octets is None:
            return cls(boot)
        try:
            kept = _decoder.decode(octets)
        except msgspec.DecodeError:
            return cls(boot, shut_until_s=uptime_s + HOUR_S)
        same = kept.boot == boot
        return cls(boot, {m: at if same else uptime_s for m, at in kept.counted.items()})

    def admits(self, meter: str, meters: int, uptime_s: int) -> bool:
        """Whether one more meter may be ordered off; one that is counted is not one more."""
        self.counted = {m: at for m, at in self.counted.items() if uptime_s - at < HOUR_S}
        if uptime_s < self.shut_until_s:
            return False
        return meter in self.counted or len(self.counted) < limit(meters)

    def count(self, meter: str, uptime_s: int) -> bytes:
        """Count a meter; the file's new bytes."""
        self.counted[meter] = uptime_s
        return msgspec.msgpack.encode(_Kept(self.boot, self.counted))


def limit(meters: int) -> int:
    """Meters that may be ordered off in an hour, of so many heard."""
    return max(LEAST, meters * PERCENT // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Says yes or no to each command that takes supply away.

    Attributes:
        gate_keys: public keys of the gates that are trusted; none: no command passes.
        people: name -> public key of those of whom two may pass the limit.
        limiter: what was counted.
        census: the meters heard.
        uptime_s: seconds since boot, suspension included.
        keep: puts the limiter's bytes on disk, synced. Raises OSError.
    """

    gate_keys: frozenset[bytes]
    people: Mapping[str, bytes]
    limiter: Limiter
    census: Census
    uptime_s: Callable[[], int]
    keep: Callable[[bytes], None]

    def refusal(self, message: DownMessage, now_s: int) -> str:
        """Why a command must not leave; "" when it may, and then it is counted on disk."""
        return self._not_released(message, now_s) or self._over(message, now_s)

    def _not_released(self, message: DownMessage, now_s: int) -> str:
        if not self.gate_keys:
            return "this gateway trusts no release gate: set limiter.gate_keys"
        try:
            release = open_release(self.gate_keys, message.meter, message.release)
        except WireError as error:
            return f"no valid release: {error}"
        if release.command != message.command:
            return "the release is for another command"
        return "the release has expired" if release.not_after_s < now_s else ""

    def _over(self, message: DownMessage, now_s: int) -> str:
        uptime_s, meters = self.uptime_s(), self.census.meters
        admitted = self.limiter.admits(message.meter, meters, uptime_s)
        if not admitted and not self._passed_by_two(message, now_s):
            return f"{limit(meters)} of {meters} meters were ordered off within an hour"
        try:
            self.keep(self.limiter.count(message.meter, uptime_s))
        except OSError as error:
            return f"it cannot be counted on disk: {error.strerror}"
        return ""

    def _passed_by_two(self, message: DownMessage, now_s: int) -> bool:
        subject = f"release:{uuid.UUID(bytes=message.command)}"
        approvals = [
            Approval(name, subject, not_after_s, signature)
            for name, not_after_s, signature in message.approvals
        ]
        return two_people(self.people, subject, approvals, now_s)
