"""The frames of the mesh as values. Their bytes are in codec.py.

Two routing heads are shared: what travels to a root opens with an ``UpHead`` (UP, REG, REPORT,
OUTAGE), what travels along a source route with a ``DownHead`` (DOWN, REGACK).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ohmesh.mesh.constants import INFINITE_RANK

GENERATION_SHIFT = 4
GENERATIONS = 16


class FrameType(IntEnum):
    """Low four bits of the first octet."""

    ADV = 1
    SOL = 2
    REG = 3
    REGACK = 4
    UP = 5
    DOWN = 6
    HACK = 7
    REPORT = 8
    JOIN = 9
    PROBE = 10
    OUTAGE = 11
    VOUCH = 12
    ADMIT = 13
    REGACKS = 14


class HackStatus(IntEnum):
    """Answer to a unicast frame."""

    OK = 0
    DUP = 1
    BUSY = 2
    NOROUTE = 3
    LOOP = 4
    NOTCHILD = 5
    RESYNC = 6
    """The sender's counter is behind; ``Hack.counter`` says how far it must be."""

    @property
    def accepted(self) -> bool:
        """True if the answering node has taken custody."""
        return self <= HackStatus.DUP


class TagFlag:
    """Flags of a route tag; plain integers, because they are read for every neighbour."""

    NONE: Final = 0
    GROUNDED: Final = 1
    """The root reaches the head-end."""
    ACCEPTS: Final = 2
    """The sender takes children."""
    COLLECT_ONLY: Final = 4
    """Outage mode: no registration, no probing."""
    BOOT: Final = 8
    """The sender has just started: it has no children any more."""


class UpFlag:
    """Flags of an upward frame; the two lowest bits are the priority."""

    NONE: Final = 0
    PRIORITY: Final = 3
    ACK_WANTED: Final = 8
    """Some payload was sent before and is still not acknowledged."""
    RANK_ERROR: Final = 4
    """A relay saw a rank that did not fall (RFC 6553, R)."""
    RESTORED: Final = 16
    """The origin has its power back: said by the registration it sends after a boot anyway."""


class SolFlag:
    """Flags of a solicitation."""

    NONE: Final = 0
    SEQ_REQUEST: Final = 1
    """Ask the root named for a sequence newer than the one given (RFC 8966, 3.8.2.1)."""


class ReportStatus(IntEnum):
    """What a node tells the root about a frame on its way down."""

    DELIVERED = 0
    LINK_FAILED = 1


@dataclass(frozen=True, slots=True)
class Tag:
    """Where the sender stands: carried by every ADV and every HACK.

    Attributes:
        root: id of the root, 0 if none.
        epoch: boot time of the root, unix s.
        seq: the root's sequence within the epoch.
        rank: distance to the root in 128ths of a transmission; INFINITE_RANK if none.
        hops: hops to the root.
        flags: TagFlag in the low four bits; above them the generation, which changes whenever
            the sender forgot what it had advertised (boot, or a new start after hold-down).
        load: relay queue fill, 0..255.
    """

    root: int
    epoch: int
    seq: int
    rank: int
    hops: int
    flags: int
    load: int

    @property
    def version(self) -> tuple[int, int]:
        """(epoch, seq): compares lexicographically, no lollipop."""
        return self.epoch, self.seq

    @property
    def generation(self) -> int:
        """Number of the sender's present memory of its own ranks, 0..15."""
        return self.flags >> GENERATION_SHIFT

    def moved(self, before: "Tag") -> bool:
        """Return whether a choice of parents would see a difference; the load makes none."""
        return self is not before and (
            self.rank != before.rank
            or self.seq != before.seq
            or self.flags != before.flags
            or self.hops != before.hops
            or self.root != before.root
            or self.epoch != before.epoch
        )


NO_TAG = Tag(root=0, epoch=0, seq=0, rank=INFINITE_RANK, hops=0, flags=0, load=0)


@dataclass(frozen=True, slots=True)
class Adv:
    """Advertisement (RPL DIO); ``key_newest``: index of the newest network key the sender holds."""

    tag: Tag
    dtsn: int
    size_code: int
    key_newest: int
    time_s: int


@dataclass(frozen=True, slots=True)
class Sol:
    """Solicitation (RPL DIS) and sequence request."""

    flags: int
    root: int
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class UpHead:
    """Routing head of everything that travels to a root.

    Attributes:
        origin: id of the node that built the frame.
        fseq: the origin's number of this frame; a repeated payload rides in a new frame.
        root: the sender's root at this hop.
        rank: the sender's rank at this hop.
        hop_limit: falls by one at each hop.
        age_s: seconds since the frame was built.
        flags: UpFlag.
    """

    origin: int
    fseq: int
    root: int
    rank: int
    hop_limit: int
    age_s: int
    flags: int


@dataclass(frozen=True, slots=True)
class Record:
    """One payload inside an UP frame; ``age_s`` is its age when the frame was built."""

    oseq: int
    age_s: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Up:
    """Payloads of one origin, oseq rising; ``life`` as in Reg."""

    head: UpHead
    life: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Reg:
    """Registration (RPL DAO, non-storing); ``head.fseq`` is its sequence.

    Attributes:
        head: routing head.
        life: random number of the origin's non-volatile store; a new one means oseq restarted.
        lifetime_s: validity.
        floor: lowest oseq the origin still holds, or the next one if it holds none.
        parents: (parent, ETX in 128ths) pairs, preferred first.
    """

    head: UpHead
    life: int
    lifetime_s: int
    floor: int
    parents: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Fate of a frame on its way down (RFC 6554 error, and the command's acceptance)."""

    head: UpHead
    status: int
    dseq: int
    near: int
    far: int


@dataclass(frozen=True, slots=True)
class Outage:
    """Meters that lost power; who has it again says so by ``UpFlag.RESTORED``."""

    head: UpHead
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DownHead:
    """Source route (RFC 6554): ``path[index]`` is the receiver of this hop."""

    origin: int
    dseq: int
    hop_limit: int
    age_s: int
    index: int
    path: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Down:
    """A command payload on its way to a meter."""

    head: DownHead
    payload: bytes


@dataclass(frozen=True, slots=True)
class RegAck:
    """Answer to a registration and cumulative end-to-end acknowledgement.

    Attributes:
        head: source route.
        reg_fseq: ``fseq`` of the last registration the root holds.
        life: echo of ``Reg.life``; another value is not for this store.
        status: 0 accepted.
        lifetime_s: validity granted.
        high_water: every oseq up to here is safe at the gateway.
        bitmap: bit i: oseq ``high_water + 1 + i`` is safe too.
        time_s: the root's unix time.
    """

    head: DownHead
    reg_fseq: int
    life: int
    status: int
    lifetime_s: int
    high_water: int
    bitmap: int
    time_s: int


@dataclass(frozen=True, slots=True)
class RegAcks:
    """Answers of one root to several nodes, all of them by way of the receiver; see bundle.py.

    Attributes:
        parts: two or more; their heads differ in ``dseq`` and in the way after the first hop only.
    """

    parts: tuple[RegAck, ...]


@dataclass(frozen=True, slots=True)
class Hack:
    """Hop acknowledgement; ``counter`` is on air only with status RESYNC."""

    lseq: int
    status: HackStatus
    tag: Tag
    counter: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Wants a HACK and nothing else."""


class JoinStage(IntEnum):
    """Where a Join comes from."""

    REQUEST = 0
    """The meter that wants to join."""
    ACCEPT = 1
    """The proxy next to it, with the root's answer."""


@dataclass(frozen=True, slots=True)
class Join:
    """A join message on the last hop, opaque to the mesh; ``eui64`` names the joining meter.

    It is the one frame without a hop seal: its sender has no network key yet.
    """

    stage: int
    eui64: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class Vouch:
    """A join request on its way to the root; the origin is the proxy that heard it."""

    head: UpHead
    eui64: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class Admit:
    """The root's answer to a join request on its way down to the proxy."""

    head: DownHead
    eui64: int
    blob: bytes


UpFrame = Up | Reg | Report | Outage | Vouch
DownFrame = Down | RegAck | Admit
UP_FRAMES = (Up, Reg, Report, Outage, Vouch)
DOWN_FRAMES = (Down, RegAck, Admit)
"""The same as tuples: asking for a tuple of classes costs a third of asking for a union."""
_Routed = UpFrame | DownFrame | RegAcks
Frame = Adv | Sol | Hack | Join | Probe | _Routed
