"""The queue of one node: what waits for the air, which neighbour it goes to, what became of it.

One exchange is in flight at a time. A frame for a root goes to the preferred parent; when that one
does not answer or refuses, the *same frame* goes to the next feasible parent at once, and when all
refused it waits 5, 15, 45, 135 s. A relay that answered OK keeps the frame until the next custodian
answered OK, or until the frame is over its age: then the origin sends the payload again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from ohmesh.mesh import constants as c
from ohmesh.mesh.bundle import Room, share
from ohmesh.mesh.core import Core, LinkSend
from ohmesh.mesh.duplicates import DuplicateCache, Verdict
from ohmesh.mesh.frames import (
    DOWN_FRAMES,
    NO_TAG,
    UP_FRAMES,
    DownHead,
    Frame,
    Hack,
    HackStatus,
    Reg,
    RegAck,
    Up,
    UpFlag,
    UpFrame,
    UpHead,
)
from ohmesh.mesh.neighbours import Neighbour
from ohmesh.mesh.timers import Timer

_RESYNCS_MAX = 2
_TRUSTED_ETX = 192
"""At ETX 1.5 eight failures in a row mean a dead neighbour (1 in 6500 otherwise)."""
_SEEN_ANSWERS = {Verdict.DUPLICATE: HackStatus.DUP, Verdict.LOOPED: HackStatus.LOOP}
_BUSY_ROUNDS_MAX = 3
_BUSY_DOUBLINGS_MAX = 4


class JobKind(Enum):
    """How the next hop of a frame is found and what its failure means."""

    UP = auto()
    """To any feasible parent, until it is too old."""
    DOWN = auto()
    """To the next node of its source route; a failure is reported."""
    DIRECT = auto()
    """To one neighbour, once (probe, unicast solicitation or advertisement)."""


@dataclass(slots=True, eq=False)
class Job:
    """One frame waiting for the air.

    Attributes:
        kind: see JobKind.
        frame: as received or built; heads are brought up to date when it is sent.
        queued_ms: when it came.
        dst: fixed receiver, 0 for UP.
        came_from: neighbour that handed it over, 0 if our own.
        priority: higher first.
        rounds_max: UP: rounds over all parents before it is given up, 0 = until too old.
        done: called once with the outcome.
    """

    kind: JobKind
    frame: Frame
    queued_ms: int
    dst: int = 0
    came_from: int = 0
    priority: int = 0
    attempts: int = 0
    rounds_max: int = 0
    done: Callable[[int, bool], None] | None = None
    refused: tuple[int, ...] = ()
    not_before_ms: int = 0
    rounds: int = 0
    resyncs: int = 0
    busy: bool = False


class Forwarder:
    """Owns the queue and the exchange in flight."""

    __slots__ = ("_core", "_flying", "_flying_to", "_queue", "_relayed", "_riders", "duplicates")

    def __init__(self, core: Core) -> None:
        """Start empty."""
        self._core = core
        self._queue: list[Job] = []
        self._flying: Job | None = None
        self._flying_to = 0
        self._riders: list[Job] = []
        self._relayed = 0
        limit = c.ROOT_DUPLICATES_MAX if core.config.is_root else c.DUPLICATES_MAX
        self.duplicates = DuplicateCache(limit)

    def __len__(self) -> int:
        """Frames waiting or in flight."""
        return len(self._queue)

    # --- taking frames in -----------------------------------------------------------------------

    def accept_up(self, now_ms: int, src: int, frame: UpFrame) -> HackStatus:
        """Decide on a frame towards a root, and queue it if accepted."""
        core, head = self._core, frame.head
        verdict = self.duplicates.look(now_ms, head.origin, head.fseq, head.hop_limit)
        if verdict is not Verdict.NEW:
            core.trace(f"forward.{verdict.value}")
            settled = self.duplicates.is_settled(now_ms, head.origin, head.fseq)
            if verdict is Verdict.DUPLICATE or not settled:
                return _SEEN_ANSWERS[verdict]
        if not core.attached:
            return HackStatus.NOROUTE
        if head.hop_limit <= 1 or core.parents == (src,):
            return HackStatus.LOOP
        if isinstance(frame, Reg):
            self._outdate(now_ms, head.origin)
        if not self.has_relay_room():
            core.trace("forward.busy")
            return HackStatus.BUSY
        self.duplicates.remember(now_ms, head.origin, head.fseq, head.hop_limit)
        priority = head.flags & UpFlag.PRIORITY
        self._put(Job(JobKind.UP, frame, now_ms, came_from=src, priority=priority))
        return HackStatus.OK

    def accept_down(self, job: Job) -> HackStatus:
        """Queue a frame for the next node of its source route, if there is room."""
        if not self.has_relay_room():
            return HackStatus.BUSY
        self._put(job)
        return HackStatus.OK

    def has_relay_room(self, frames: int = 1) -> bool:
        """Return whether so many frames of others can be queued."""
        return self._relayed + frames <= c.RELAY_QUEUE_MAX

    def submit(self, job: Job) -> bool:
        """Queue a frame of our own. Returns: False if our own slots are full."""
        limit = c.ROOT_QUEUE_MAX if self._core.config.is_root else c.OWN_QUEUE_MAX
        if len(self._queue) - self._relayed >= limit:
            self._core.trace("forward.own_full")
            return False
        self._put(job)
        return True

    def release(self, now_ms: int) -> None:
        """Let waiting upward frames try at once: the parents changed."""
        for job in self._queue:
            if job.kind is JobKind.UP and job is not self._flying:
                job.not_before_ms = min(job.not_before_ms, now_ms)
                job.refused = ()

    # --- sending --------------------------------------------------------------------------------

    def pump(self, now_ms: int) -> None:
        """Start the next exchange if none is in flight."""
        self._core.timers.cancel(Timer.QUEUE)
        if self._flying is not None or not self._queue:
            return
        self._drop_aged(now_ms)
        waiting = sorted(self._queue, key=_urgency) if len(self._queue) > 1 else [*self._queue]
        for job in waiting:
            if self._try(now_ms, job):
                return

    def _try(self, now_ms: int, job: Job) -> bool:
        timers = self._core.timers
        if job.not_before_ms > now_ms:
            timers.set_earlier(Timer.QUEUE, job.not_before_ms)
            return False
        if job.kind is JobKind.UP and not self._core.attached:
            return False
        dst = job.dst or self._next_hop(now_ms, job)
        if not dst:
            self._postpone(now_ms, job)
            return False
        self._flying = job
        self._flying_to = dst
        attempts = job.attempts or self._core.config.attempts
        self._core.emit(LinkSend(dst, self._load_up(now_ms, job), attempts))
        return True

    def _load_up(self, now_ms: int, job: Job) -> Frame:
        """Return the frame of a job; a registration answer takes others along on the same hop."""
        self._riders = self._company(job)
        frames = [self._dress(now_ms, each) for each in (job, *self._riders)]
        if not self._riders:
            return frames[0]
        return share([frame for frame in frames if isinstance(frame, RegAck)])

    def _company(self, job: Job) -> list[Job]:
        if not isinstance(job.frame, RegAck):
            return []
        room = Room(job.frame)
        others = [other for other in self._queue if other.dst == job.dst and other is not job]
        return [each for each in others if isinstance(each.frame, RegAck) and room.take(each.frame)]

    def _next_hop(self, now_ms: int, job: Job) -> int:
        for parent in self._core.parents:
            if parent in job.refused or parent == job.came_from:
                continue
            row = self._core.neighbours.get(parent)
            if row is not None and not row.is_denied(now_ms) and row.busy_until_ms <= now_ms:
                return parent
        return 0

    def _postpone(self, now_ms: int, job: Job) -> None:
        """All parents refused or are busy: wait, or give an own frame up after its rounds."""
        job.rounds += 1
        if job.rounds_max and job.rounds >= job.rounds_max:
            self._finish(now_ms, job, ok=False)
            return
        wait_ms = self._core.paced(c.RETRY_MS[min(job.rounds, len(c.RETRY_MS)) - 1], 1)
        if job.busy:
            # Somebody would take it but has no room just now: that passes faster than a death.
            wait_ms = min(wait_ms, c.BUSY_PAUSE_MS << min(job.rounds, _BUSY_DOUBLINGS_MAX))
            job.busy = False
        job.not_before_ms = now_ms + self._core.spread(wait_ms)
        job.refused = ()
        self._core.timers.set_earlier(Timer.QUEUE, job.not_before_ms)

    def _dress(self, now_ms: int, job: Job) -> Frame:
        """Bring the head up to date: our rank, our age, one hop less."""
        frame, core = job.frame, self._core
        if job.kind is JobKind.DIRECT:
            return frame
        dwell_s = (now_ms - job.queued_ms) // 1000
        hop = 1 if job.came_from else 0
        if isinstance(frame, UP_FRAMES):
            tag, head = core.tag(), frame.head
            up = UpHead(
                head.origin,
                head.fseq,
                tag.root,
                tag.rank,
                head.hop_limit - hop,
                min(head.age_s + dwell_s, 0xFFFF),
                head.flags,
            )
            if type(frame) is Up:
                return Up(up, frame.life, frame.records)
            return replace(frame, head=up)
        if isinstance(frame, DOWN_FRAMES):
            was = frame.head
            down = DownHead(
                was.origin,
                was.dseq,
                was.hop_limit - hop,
                min(was.age_s + dwell_s, 0xFFFF),
                was.index + hop,
                was.path,
            )
            return replace(frame, head=down)
        return frame

    # --- outcomes -------------------------------------------------------------------------------

    def exchange_done(self, now_ms: int, attempts: int, hack: Hack | None) -> None:
        """Take the outcome of the exchange in flight."""
        job, dst, riders = self._flying, self._flying_to, self._riders
        self._flying, self._riders = None, []
        if job is None:
            return
        row = self._core.neighbours.get(dst)
        link, tag = (row.link, row.tag) if row is not None else (None, NO_TAG)
        if hack is None:
            self._unanswered(now_ms, job, row, attempts)
        else:
            self._answered(now_ms, job, row, attempts, hack)
        if hack is None or hack.status.accepted:
            # What was refused waits in the queue and asks for itself.
            for rider in riders:
                self._finish(now_ms, rider, ok=hack is not None)
        if row is not None and link is not None:
            self._core.weigh_news(row, link, tag)

    def _unanswered(self, now_ms: int, job: Job, row: Neighbour | None, attempts: int) -> None:
        core = self._core
        core.trace("hop.failed")
        if row is not None:
            before = row.etx_128ths
            row.fail(now_ms, attempts)
            # A poor link that is our last gets a second chance: eight tries at ETX 2 fail once in
            # 250 frames, and a false alarm must not cut a sub-tree.
            spare = len(core.parents) > 1 or not core.is_parent(row.id)
            if spare or row.failures > 1 or before <= _TRUSTED_ETX:
                self._deny(now_ms, row)
                job.refused += (row.id,)
            elif job.kind is not JobKind.UP:
                # Frames on their way up ask again by themselves; a probe would not for minutes.
                pause_ms = core.spread(core.paced(c.RETRY_MS[0], 1))
                core.timers.set_earlier(Timer.PROBE, now_ms + pause_ms)
        if job.kind is not JobKind.UP:
            self._finish(now_ms, job, ok=False)

    def _answered(
        self,
        now_ms: int,
        job: Job,
        row: Neighbour | None,
        attempts: int,
        hack: Hack,
    ) -> None:
        status = hack.status
        if row is not None:
            row.succeed(now_ms, attempts)
            row.learn(now_ms, hack.tag)
        if status.accepted:
            self._finish(now_ms, job, ok=True)
            if job.kind is JobKind.UP and row is not None:
                self._encourage(now_ms, row.id)
        elif status is HackStatus.RESYNC:
            job.resyncs += 1
            if job.resyncs > _RESYNCS_MAX:
                self._refused(now_ms, job, row, status)
        else:
            self._refused(now_ms, job, row, status)

    def _encourage(self, now_ms: int, parent: int) -> None:
        """Who took one frame may take the next of those that wait for another try."""
        for job in self._queue:
            waits = job.kind is JobKind.UP and job.not_before_ms > now_ms
            if waits and job.came_from != parent:
                job.not_before_ms = now_ms
                return

    def _refused(self, now_ms: int, job: Job, row: Neighbour | None, status: HackStatus) -> None:
        core = self._core
        core.trace(f"hop.refused.{status.name.lower()}")
        if status is HackStatus.BUSY:
            if row is not None:
                row.busy_until_ms = now_ms + core.spread(c.BUSY_PAUSE_MS)
            job.busy = True
            if job.kind is JobKind.DOWN and job.rounds < _BUSY_ROUNDS_MAX:
                job.rounds += 1
                job.not_before_ms = now_ms + core.spread(c.BUSY_PAUSE_MS)
                return
        if status in (HackStatus.NOTCHILD, HackStatus.RESYNC) and row is not None:
            self._deny(now_ms, row)
        if job.kind is not JobKind.UP:
            self._finish(now_ms, job, ok=False)
        elif row is not None:
            job.refused += (row.id,)

    # --- queue ----------------------------------------------------------------------------------

    def _put(self, job: Job) -> None:
        self._queue.append(job)
        if job.came_from:
            self._relayed += 1
            self._weigh()

    def _finish(self, now_ms: int, job: Job, *, ok: bool) -> None:
        self._queue.remove(job)
        if job.came_from:
            self._relayed -= 1
            self._weigh()
        if job.done is not None:
            job.done(now_ms, ok)

    def _deny(self, now_ms: int, row: Neighbour) -> None:
        core = self._core
        row.deny(now_ms, first_ms=core.scaled(c.DENY_MIN_MS), max_ms=core.scaled(c.DENY_MAX_MS))
        core.look_again(row.deny_until_ms)

    def _outdate(self, now_ms: int, origin: int) -> None:
        """A newer registration makes one that still waits worthless."""
        for job in self._queue:
            frame = job.frame
            old = isinstance(frame, Reg) and frame.head.origin == origin and job.came_from
            if old and job is not self._flying:
                self._finish(now_ms, job, ok=False)
                return

    def _drop_aged(self, now_ms: int) -> None:
        for job in [job for job in self._queue if self._is_aged(now_ms, job)]:
            self._core.trace("forward.aged")
            self._finish(now_ms, job, ok=False)

    @staticmethod
    def _is_aged(now_ms: int, job: Job) -> bool:
        frame = job.frame
        if not isinstance(frame, UP_FRAMES + DOWN_FRAMES):
            return False
        most_s = c.REG_AGE_MAX_S if isinstance(frame, Reg) else c.FRAME_AGE_MAX_S
        return frame.head.age_s + (now_ms - job.queued_ms) // 1000 > most_s

    def _weigh(self) -> None:
        self._core.load = min(self._relayed * 256 // c.RELAY_QUEUE_MAX, 0xFF)


def _urgency(job: Job) -> int:
    return -job.priority
