"""The settings of one station."""

from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.errors import MeshUsageError

_DIVISOR_MAX = 20
_ATTEMPTS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StationConfig:
    """What a station must know at boot.

    Attributes:
        node: own id, 1 .. 0xFFFFFFFE.
        net: network id, 16 bit; frames of other networks are refused.
        is_root: True on a gateway.
        epoch: unix seconds of this boot. A root must pass its clock; a meter may pass 0.
        timer_divisor: divides protocol timers, 1..20; hop ARQ is never scaled.
        ack_timeout_ms: wait for a hop acknowledgement, at least 50.
        attempts: transmissions of one frame to one neighbour before the next parent is tried.
        store_limit: own payloads kept until acknowledged end to end; the oldest is given up.
        neighbour_limit: rows of the neighbour table; 0 means the default of the role.
        command_lifetime_ms: a command not accepted by then is given up.
        ack_every: a root acknowledges an origin at the latest after this many payloads.
    """

    node: int
    net: int
    is_root: bool
    epoch: int
    timer_divisor: int = 1
    ack_timeout_ms: int = c.ACK_TIMEOUT_MS
    attempts: int = c.ARQ_ATTEMPTS
    store_limit: int = c.STORE_MAX
    neighbour_limit: int = 0
    command_lifetime_ms: int = c.COMMAND_LIFETIME_MS
    ack_every: int = c.ACK_EVERY_PAYLOADS

    def __post_init__(self) -> None:
        """Refuse values the frame format or the protocol cannot carry."""
        _within("node", self.node, 1, c.BROADCAST - 1)
        _within("net", self.net, 0, 0xFFFF)
        _within("epoch", self.epoch, 0, 0xFFFFFFFF)
        _within("timer_divisor", self.timer_divisor, 1, _DIVISOR_MAX)
        _within("ack_timeout_ms", self.ack_timeout_ms, c.ACK_TIMEOUT_FLOOR_MS, 60_000)
        _within("attempts", self.attempts, 1, _ATTEMPTS_MAX)
        _within("store_limit", self.store_limit, 1, 1_000_000)
        _within("neighbour_limit", self.neighbour_limit, 0, 65_536)
        _within("command_lifetime_ms", self.command_lifetime_ms, 1, 7 * 86_400_000)
        _within("ack_every", self.ack_every, 1, 64)

    @property
    def neighbours_max(self) -> int:
        """Rows of the neighbour table."""
        default = c.ROOT_NEIGHBOURS_MAX if self.is_root else c.NEIGHBOURS_MAX
        return self.neighbour_limit or default

    def scaled(self, duration_ms: int) -> int:
        """Return a protocol duration at this station's pace, at least 1 ms."""
        return max(1, duration_ms // self.timer_divisor)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        msg = f"{name} must be within {low}..{high}, not {value}"
        raise MeshUsageError(msg)
