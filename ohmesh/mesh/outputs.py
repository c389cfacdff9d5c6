"""What a station tells its driver.

A driver handles the list of one call in order. ``Persist``, ``PersistPayload`` and
``ForgetPayload`` come before the ``Transmit`` that relies on them: a driver that makes them durable
in order loses nothing and repeats no sequence number.
"""

from dataclasses import dataclass
from enum import Enum

from ohmesh.mesh.errors import RejectReason


class CommandReason(Enum):
    """How a command ended."""

    ACCEPTED = "accepted"
    NO_ROUTE = "no_route"
    EXPIRED = "expired"
    BUSY = "busy"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put the frame on the air now; receivers filter by the destination in its header."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A payload reached this root; answer with ``Station.custody(now_ms, token, ok)``.

    The frame that carried it is acknowledged only when all its payloads are answered. A payload
    may come more than once: ``(origin, oseq)`` names it.

    Attributes:
        token: names this delivery in the answer.
        origin: id of the meter.
        oseq: the meter's number of the payload, rising.
        age_s: seconds since the meter handed it in, saturating at 131070; 0 if not known.
        payload: as submitted.
    """

    token: int
    origin: int
    oseq: int
    age_s: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A command payload for this meter, once for each ``oseq`` (the root's command number)."""

    payload: bytes
    oseq: int


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The end of a command: the destination has it (``ok``) or it was given up."""

    token: int
    ok: bool
    reason: CommandReason


@dataclass(frozen=True, slots=True)
class PowerReport:
    """A root heard that these nodes lost power, or have it again (``restored``)."""

    restored: bool
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """A root heard that a node wants to join; answer with ``Station.admit``.

    Attributes:
        proxy: the neighbour of the node that heard it; the root's own id if it heard it itself.
        eui64: names the node.
        blob: its request, opaque to the mesh.
    """

    proxy: int
    eui64: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class KeysGranted:
    """This meter has joined: keep the network keys (index -> key) and seal with them at boot."""

    keys: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Persist:
    """The small state blob (under 64 B); keep the last one and pass it as ``state`` at boot."""

    state: bytes


@dataclass(frozen=True, slots=True)
class PersistPayload:
    """Keep this own payload; pass all that are kept as ``pending`` at boot."""

    oseq: int
    priority: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ForgetPayload:
    """The payload is acknowledged end to end (or overflowed, see the trace): delete it."""

    oseq: int


@dataclass(frozen=True, slots=True)
class PersistRoute:
    """A root's registration of one node; pass all that are kept as ``routes`` at boot."""

    node: int
    record: bytes


@dataclass(frozen=True, slots=True)
class ForgetRoute:
    """The registration of this node is gone."""

    node: int


@dataclass(frozen=True, slots=True)
class FrameRejected:
    """A received frame was refused; it changed nothing."""

    reason: RejectReason


@dataclass(frozen=True, slots=True)
class Trace:
    """Something countable happened; ``name`` is a metric name, ``value`` its number."""

    name: str
    value: int = 1


Output = (
    Transmit
    | Delivered
    | Received
    | CommandResult
    | PowerReport
    | JoinAsked
    | KeysGranted
    | Persist
    | PersistPayload
    | ForgetPayload
    | PersistRoute
    | ForgetRoute
    | FrameRejected
    | Trace
)
