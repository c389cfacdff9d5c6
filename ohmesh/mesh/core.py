"""What the parts of one engine share: identity, time, alarm clock, tables, standing, effects."""

from dataclasses import dataclass
from enum import Enum, auto

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.feasibility import Feasibility, Version
from ohmesh.mesh.frames import (
    GENERATION_SHIFT,
    GENERATIONS,
    NO_TAG,
    Frame,
    HackStatus,
    Tag,
    TagFlag,
)
from ohmesh.mesh.neighbours import Children, Neighbour, NeighbourTable
from ohmesh.mesh.outputs import Output, Trace
from ohmesh.mesh.timers import Timer, Timers
from ohmesh.mesh.trickle import Rng


class Phase(Enum):
    """Where a node is in its life."""

    SEEKING = auto()
    """No parent; soliciting and probing."""
    ATTACHED = auto()
    """Has a parent, or is a root."""
    POISONED = auto()
    """Lost its last parent; telling the children and holding down."""


@dataclass(frozen=True, slots=True)
class LinkSend:
    """Ask the link for one exchange; the engine never asks for a second before the first ends."""

    dst: int
    frame: Frame
    attempts: int


@dataclass(frozen=True, slots=True)
class LinkBroadcast:
    """Ask the link to send once to everyone."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """Ask the link to answer a unicast frame with the current tag."""

    dst: int
    lseq: int
    status: HackStatus


Effect = Output | LinkSend | LinkBroadcast | LinkAnswer


class Core:
    """Shared state of one node; it decides nothing."""

    __slots__ = (
        "_tag",
        "children",
        "config",
        "counter",
        "dirty",
        "effects",
        "feasibility",
        "flags",
        "generation",
        "hops",
        "key_newest",
        "load",
        "neighbours",
        "parents",
        "phase",
        "rank",
        "rng",
        "root",
        "timers",
    )

    def __init__(self, config: StationConfig, rng: Rng, counter: Counter) -> None:
        """Start unattached."""
        self.config = config
        self.rng = rng
        self.counter = counter
        self.timers = Timers()
        self.feasibility = Feasibility()
        self.neighbours = NeighbourTable(config.neighbours_max, self.is_parent)
        self.children = Children(c.ROOT_CHILDREN_MAX if config.is_root else c.CHILDREN_MAX)
        self.phase = Phase.SEEKING
        self.root = 0
        self.rank = c.INFINITE_RANK
        self.hops = 0
        self.flags: int = TagFlag.NONE
        # A boot forgets what was advertised; a random start makes it show.
        self.generation = rng.randrange(GENERATIONS)
        self.load = 0
        self.key_newest = 0
        """Highest index of a network key that we hold; advertised, so that others ask for it."""
        self.parents: tuple[int, ...] = ()
        self.effects: list[Effect] = []
        self._tag = NO_TAG
        self.dirty = False
        """A neighbour changed: the standing must be worked out again before anything is sent."""

    @property
    def attached(self) -> bool:
        """True with a way to a root."""
        return self.phase is Phase.ATTACHED

    def is_parent(self, node: int) -> bool:
        """Return whether the node is one of our parents."""
        return node in self.parents

    def emit(self, effect: Effect) -> None:
        """Queue an effect."""
        self.effects.append(effect)

    def trace(self, name: str, value: int = 1) -> None:
        """Queue a metric."""
        self.effects.append(Trace(name, value))

    def answer(self, dst: int, lseq: int, status: HackStatus) -> None:
        """Queue the answer to a unicast frame."""
        self.effects.append(LinkAnswer(dst, lseq, status))

    def tag(self) -> Tag:
        """Return where we stand; reading it counts as advertising it."""
        epoch, seq = self.feasibility.version(self.root) or (0, 0)
        if self.rank != c.INFINITE_RANK and self.feasibility.advertise(self.root, self.rank):
            self.dirty = True
        flags = self.flags | self.generation << GENERATION_SHIFT
        held = self._tag
        same = (
            held.rank == self.rank
            and held.load == self.load
            and held.seq == seq
            and held.root == self.root
            and held.flags == flags
            and held.hops == self.hops
            and held.epoch == epoch
        )
        if not same:
            self._tag = Tag(self.root, epoch, seq, self.rank, self.hops, flags, self.load)
        return self._tag

    def forget_distance(self, root: int, version: Version) -> None:
        """Begin anew towards a root after hold-down, and let the neighbours notice."""
        self.feasibility.restart(root, version)
        self.generation = (self.generation + 1) % GENERATIONS

    def concerns(self, row: Neighbour) -> bool:
        """Return whether news of a neighbour can change our choice of parents."""
        if row.id in self.parents or row.tag.rank + row.etx_128ths < self.rank:
            return True
        return len(self.parents) < c.MAX_PARENTS and row.best_rank < self.rank

    def weigh_news(self, row: Neighbour, link: tuple[int, int, bool], tag: Tag) -> None:
        """Have the standing worked out again if what changed of a neighbour can change it.

        Args:
            row: the neighbour as it is now.
            link: its ``link`` before.
            tag: its tag before.
        """
        if (row.link != link or row.tag.moved(tag)) and self.concerns(row):
            self.dirty = True

    def look_again(self, at_ms: int) -> None:
        """Work out the standing at a time at which something ripens by itself."""
        self.timers.set_earlier(Timer.HOUSEKEEPING, at_ms)

    def scaled(self, duration_ms: int) -> int:
        """Return a protocol duration at our pace."""
        return self.config.scaled(duration_ms)

    def paced(self, duration_ms: int, round_trips: int) -> int:
        """Return a scaled duration that still leaves time for some hop exchanges."""
        return max(self.config.scaled(duration_ms), round_trips * self.config.ack_timeout_ms)

    def spread(self, duration_ms: int) -> int:
        """Return a duration drawn uniformly from its half to its one and a half."""
        return duration_ms // 2 + self.rng.randrange(duration_ms + 1)
