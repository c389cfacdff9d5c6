"""The mesh engine: one object per node, no clock, no socket, no randomness of its own.

Theory of operation
===================

Every node is on a tree that leads to one root (a gateway). Its *rank* is its distance in expected
transmissions (128 = one); frames for the head-end go to a parent of lower distance, commands come
down along source routes the root computes from registrations.

1. *Formation* (formation.py). Nodes advertise (root, version, rank) under a Trickle timer. A node
   probes the best neighbours, takes the one with the least rank + ETX among those that
   acknowledged, advertises at once, and registers its parents with the root in the background.
2. *Loop freedom* (feasibility.py). A neighbour may be used at once only if what it advertised beats
   everything we ever advertised. Without such a neighbour we poison, hold down, ask the root for a
   new sequence, and only then may begin anew.
3. *Custody* (forwarding.py). A hop acknowledges a frame when it has queued it; a root when its
   driver has made it durable. Until then the previous hop keeps it, and goes to its next feasible
   parent with the same frame when the first does not answer.
4. *End to end* (store.py, uplink.py, root.py, acks.py). The meter keeps each payload until the
   root's cumulative acknowledgement covers it; a dead relay's queue is filled in again from there.
5. *Several roots.* Each root has its own version and distance, so changing root needs no poison. A
   root without uplink gives up its grounded flag and its nodes move if they can.

Inputs change tables and mark the engine dirty; at the end of each input ``_settle`` works out the
standing once, then lets the uplink and the queue act. Nothing acts from inside a handler.

Frames are values here; octets, seals, repeated link frames and retransmission are the link's work
(link.py, arq.py), so a simulator may drive this engine without ever building an octet.
"""

from collections.abc import Callable
from dataclasses import replace

from ohmesh.mesh import constants as c
from ohmesh.mesh.commands import Inbox, next_index
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import Core, Effect, LinkBroadcast
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.formation import Formation
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import (
    DOWN_FRAMES,
    UP_FRAMES,
    Admit,
    Adv,
    DownFrame,
    Frame,
    Hack,
    HackStatus,
    Join,
    JoinStage,
    Outage,
    Probe,
    RegAck,
    RegAcks,
    ReportStatus,
    Sol,
    UpFlag,
    UpFrame,
    Vouch,
)
from ohmesh.mesh.neighbours import Neighbour
from ohmesh.mesh.outage import OutageRelay
from ohmesh.mesh.outputs import Received
from ohmesh.mesh.root import RootSide
from ohmesh.mesh.store import Store
from ohmesh.mesh.timers import Timer
from ohmesh.mesh.trickle import Rng
from ohmesh.mesh.uplink import Uplink

_DOWN_PRIORITY = 2
_JOIN_PRIORITY = 1


class Engine:
    """Routing, forwarding and end-to-end delivery of one node, on frames as values."""

    __slots__ = (
        "_inbox",
        "core",
        "formation",
        "forwarder",
        "outages",
        "root_side",
        "uplink",
    )

    def __init__(
        self,
        config: StationConfig,
        rng: Rng,
        *,
        counter: Counter,
        store: Store,
        life: int,
    ) -> None:
        """Compose the parts; nothing happens before ``start``."""
        self.core = Core(config, rng, counter)
        self.forwarder = Forwarder(self.core)
        self.uplink = Uplink(self.core, self.forwarder, store, life)
        self.formation = Formation(self.core, self.forwarder, self.uplink)
        self.root_side = (
            RootSide(self.core, self.forwarder, self.formation) if config.is_root else None
        )
        self.outages = OutageRelay(self.core, self.forwarder, self.uplink)
        self._inbox = Inbox()

    @property
    def next_wake_ms(self) -> int | None:
        """When ``wake`` wants to be called."""
        return self.core.timers.next_ms

    def start(self, now_ms: int) -> None:
        """Boot."""
        core = self.core
        core.timers.set(Timer.HOUSEKEEPING, now_ms + core.scaled(c.HOUSEKEEPING_MS))
        if self.root_side is not None:
            self.root_side.start(now_ms)
        else:
            self.formation.start(now_ms)
        self._settle(now_ms)

    def drain(self) -> list[Effect]:
        """Return and clear the effects of the last input."""
        effects, self.core.effects = self.core.effects, []
        return effects

    # --- inputs ---------------------------------------------------------------------------------

    def receive(
        self,
        now_ms: int,
        src: int,
        frame: Frame,
        *,
        rssi_dbm: int,
        lseq: int | None,
    ) -> None:
        """Take a fresh frame. Args: lseq: names it in the answer; None for a broadcast."""
        rank = frame.tag.rank if isinstance(frame, Adv) else c.INFINITE_RANK
        row = self.core.neighbours.admit(src, now_ms, rssi_dbm, rank)
        if lseq is None:
            self._broadcast(now_ms, src, row, frame)
        else:
            self._unicast(now_ms, src, row, frame, lseq=lseq)
        self._settle(now_ms)

    def exchange_done(self, now_ms: int, attempts: int, hack: Hack | None) -> None:
        """Take the outcome of the exchange the engine asked for."""
        if hack is not None and self.root_side is not None:
            self.root_side.heard_tag(now_ms, hack.tag)
        self.forwarder.exchange_done(now_ms, attempts, hack)
        self._settle(now_ms)

    def wake(self, now_ms: int) -> None:
        """Pass every deadline that has come."""
        timers = self.core.timers
        for timer, handler in _METER_ALARMS if self.root_side is None else _ROOT_ALARMS:
            if timers.due_ms[timer] <= now_ms:
                timers.cancel(timer)
                handler(self, now_ms)
        self._settle(now_ms)

    def submit(self, now_ms: int, payload: bytes, priority: int) -> None:
        """Take an own payload."""
        self.uplink.submit(now_ms, payload, priority)
        self._settle(now_ms)

    def vouch(self, now_ms: int, join: Join) -> None:
        """Pass a stranger's request on to the root, if we have a way."""
        if self.core.attached:
            frame = Vouch(self.uplink.head(_JOIN_PRIORITY), join.eui64, join.blob)
            self.forwarder.submit(Job(JobKind.UP, frame, now_ms, priority=_JOIN_PRIORITY))
        self._settle(now_ms)

    def settle(self, now_ms: int) -> None:
        """Let the parts act after a root procedure was called directly."""
        self._settle(now_ms)

    # --- frames ---------------------------------------------------------------------------------

    def _broadcast(self, now_ms: int, src: int, row: Neighbour | None, frame: Frame) -> None:
        if isinstance(frame, Adv):
            self._adv(now_ms, row, frame)
        elif isinstance(frame, Sol):
            self._sol(now_ms, src, frame, broadcast=True)
        elif isinstance(frame, Outage):
            self._outage(now_ms, frame)

    def _unicast(
        self,
        now_ms: int,
        src: int,
        row: Neighbour | None,
        frame: Frame,
        *,
        lseq: int,
    ) -> None:
        answer = self.core.answer
        if isinstance(frame, UP_FRAMES):
            self._up(now_ms, src, frame, lseq)
        elif isinstance(frame, DOWN_FRAMES):
            answer(src, lseq, self._down(now_ms, src, frame))
        elif isinstance(frame, RegAcks):
            answer(src, lseq, self._answers(now_ms, src, frame.parts))
        elif isinstance(frame, (Adv, Sol, Probe)):
            answer(src, lseq, HackStatus.OK)
            if isinstance(frame, Adv):
                self._adv(now_ms, row, frame)
            elif isinstance(frame, Sol):
                self._sol(now_ms, src, frame, broadcast=False)

    def _adv(self, now_ms: int, row: Neighbour | None, adv: Adv) -> None:
        if self.root_side is not None:
            self.root_side.heard_tag(now_ms, adv.tag)
        if row is None:
            return
        link, tag = row.link, row.tag
        self.formation.heard_adv(now_ms, row, adv)
        self.core.weigh_news(row, link, tag)

    def _sol(self, now_ms: int, src: int, sol: Sol, *, broadcast: bool) -> None:
        if self.root_side is not None:
            self.root_side.heard_sol(now_ms, sol)
        self.formation.heard_sol(now_ms, src, sol, broadcast=broadcast)

    def _outage(self, now_ms: int, frame: Outage) -> None:
        if self.root_side is not None:
            self.root_side.outage(now_ms, frame)
        else:
            self.outages.heard(now_ms, frame.nodes)

    def _up(self, now_ms: int, src: int, frame: UpFrame, lseq: int) -> None:
        core = self.core
        if not core.children.note(src, now_ms, core.scaled(c.CHILD_LIFETIME_MS)):
            core.answer(src, lseq, HackStatus.NOTCHILD)
            return
        if self.root_side is not None:
            self.root_side.take(now_ms, src, lseq, frame)
            return
        if frame.head.origin == core.config.node:
            self.uplink.returned(frame)
            core.answer(src, lseq, HackStatus.OK)
            return
        stale = frame.head.root == core.root and frame.head.rank <= core.rank
        again = bool(frame.head.flags & UpFlag.RANK_ERROR)
        if stale and core.attached:
            self.formation.inconsistent(now_ms, src, again=again)
            frame = _with_rank_error(frame)
        core.answer(src, lseq, self.forwarder.accept_up(now_ms, src, frame))

    def _down(self, now_ms: int, src: int, frame: DownFrame) -> HackStatus:
        head, node = frame.head, self.core.config.node
        index = next_index(head, node)
        if index is None or head.hop_limit <= 1:
            return HackStatus.NOROUTE
        if index == len(head.path):
            self._for_us(now_ms, frame)
            return HackStatus.OK
        far = head.path[index]
        job = Job(
            JobKind.DOWN,
            frame,
            now_ms,
            dst=far,
            came_from=src,
            priority=_DOWN_PRIORITY,
        )
        job.done = lambda at_ms, ok: self._relayed_down(at_ms, head.dseq, far, ok=ok)
        return self.forwarder.accept_down(job)

    def _answers(self, now_ms: int, src: int, parts: tuple[RegAck, ...]) -> HackStatus:
        """Take registration answers apart: all of them, or none while there is no room."""
        if not self.forwarder.has_relay_room(len(parts)):
            return HackStatus.BUSY
        for part in parts:
            self._down(now_ms, src, part)
        return HackStatus.OK

    def _relayed_down(self, now_ms: int, dseq: int, far: int, *, ok: bool) -> None:
        if not ok:
            near = self.core.config.node
            self.uplink.report(now_ms, ReportStatus.LINK_FAILED, dseq, near=near, far=far)

    def _for_us(self, now_ms: int, frame: DownFrame) -> None:
        if isinstance(frame, RegAck):
            self.uplink.acknowledged(now_ms, frame)
            return
        if isinstance(frame, Admit):
            self.core.emit(LinkBroadcast(Join(JoinStage.ACCEPT, frame.eui64, frame.blob)))
            return
        if self._inbox.is_new(frame.head):
            self.core.emit(Received(frame.payload, frame.head.dseq))
        dseq = frame.head.dseq
        self.uplink.report(now_ms, ReportStatus.DELIVERED, dseq, near=0, far=0)

    # --- upkeep ---------------------------------------------------------------------------------

    def housekeeping(self, now_ms: int) -> None:
        """Forget the old, and look at the standing although no frame gave cause."""
        core = self.core
        core.timers.set(Timer.HOUSEKEEPING, now_ms + core.scaled(c.HOUSEKEEPING_MS))
        core.children.expire(now_ms)
        core.neighbours.expire(now_ms, core.scaled(c.NEIGHBOUR_LIFETIME_MS))
        if self.root_side is not None:
            self.root_side.housekeeping(now_ms)
        # Denials end and better parents ripen without any frame telling us; see Core.look_again.
        core.dirty = True

    def _settle(self, now_ms: int) -> None:
        core, formation = self.core, self.formation
        if core.dirty:
            formation.refresh(now_ms)
        self.uplink.pump(now_ms)
        self.forwarder.pump(now_ms)
        # The pump may have given frames up, whose owners marked the standing dirty again.
        if core.dirty:
            formation.refresh(now_ms)


def _root(engine: Engine) -> RootSide:
    assert engine.root_side is not None
    return engine.root_side


_Alarm = tuple[int, Callable[[Engine, int], None]]
_COMMON_ALARMS: tuple[_Alarm, ...] = (
    (Timer.TRICKLE, lambda engine, now_ms: engine.formation.trickle_due(now_ms)),
    (Timer.ANSWER, lambda engine, now_ms: engine.formation.answer_due(now_ms)),
    (Timer.HOUSEKEEPING, Engine.housekeeping),
    # The queue is pumped after every input; its deadline only has to wake us.
    (Timer.QUEUE, lambda _engine, _now_ms: None),
)
_ROOT_ALARMS: tuple[_Alarm, ...] = (
    *_COMMON_ALARMS,
    (Timer.ROOT_SEQ, lambda engine, now_ms: _root(engine).bump(now_ms)),
    (Timer.ROOT_ACKS, lambda engine, now_ms: _root(engine).acks_due(now_ms)),
    (Timer.ROOT_COMMANDS, lambda engine, now_ms: _root(engine).commands.due(now_ms)),
    (Timer.ROOT_GROUND, lambda engine, now_ms: _root(engine).ground_due(now_ms)),
    (Timer.OUTAGE, lambda engine, now_ms: _root(engine).outage_due(now_ms)),
)
_METER_ALARMS: tuple[_Alarm, ...] = (
    *_COMMON_ALARMS,
    (Timer.POISON, lambda engine, now_ms: engine.formation.poison_due(now_ms)),
    (Timer.HOLD_DOWN, lambda engine, now_ms: engine.formation.hold_down_due(now_ms)),
    (Timer.SOLICIT, lambda engine, now_ms: engine.formation.solicit_due(now_ms)),
    (Timer.DECIDE, lambda engine, now_ms: engine.formation.decide_due(now_ms)),
    (Timer.PROBE, lambda engine, now_ms: engine.formation.probe_due(now_ms)),
    (Timer.REGISTER, lambda engine, now_ms: engine.uplink.register_due(now_ms)),
    (Timer.RESEND, lambda engine, now_ms: engine.uplink.resend_due(now_ms)),
    (Timer.OUTAGE, lambda engine, now_ms: engine.outages.due(now_ms)),
)
"""What each deadline means, in this order when several have come; one table for all engines."""


def _with_rank_error(frame: UpFrame) -> UpFrame:
    head = replace(frame.head, flags=frame.head.flags | UpFlag.RANK_ERROR)
    return replace(frame, head=head)
