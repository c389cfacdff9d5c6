"""The part of the engine that only a root has: custody, registrations, acknowledgements, sequence.

A root stands at rank 128. Its epoch is its boot time, so a restart outdates everything it said
before without remembering it; if the clock came back wrong, the echo of its own past in a
neighbour's tag tells it how far to go. Its sequence rises every 17.5 min and when somebody who
found no feasible parent asks for it.
"""

from collections import OrderedDict
from collections.abc import Iterable

from ohmesh.mesh import constants as c
from ohmesh.mesh.commands import CommandDesk
from ohmesh.mesh.core import Core, LinkBroadcast
from ohmesh.mesh.custody import CustodyDesk
from ohmesh.mesh.duplicates import Verdict
from ohmesh.mesh.formation import Formation, ResetCause
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import (
    Admit,
    DownHead,
    HackStatus,
    Join,
    JoinStage,
    Outage,
    Reg,
    RegAck,
    Report,
    ReportStatus,
    Sol,
    SolFlag,
    Tag,
    TagFlag,
    Up,
    UpFlag,
    UpFrame,
    Vouch,
)
from ohmesh.mesh.outage import OutageWatch
from ohmesh.mesh.outputs import Delivered, ForgetRoute, JoinAsked, PersistRoute, PowerReport
from ohmesh.mesh.routes import Registration, RouteTable
from ohmesh.mesh.state import State
from ohmesh.mesh.timers import Timer

_ACK_PRIORITY = 1
_SEQ_MAX = 0xFFFF
_EPOCH_MAX = 0xFFFFFFFF
_ACKS_UNDER_WAY_MAX = 256
_ACKS_QUEUED_MAX = 48
"""More acknowledgements than these wait unbuilt: the queue has other work, and routes change."""
_AGE_MAX_S = 0xFFFF


class RootSide:
    """State and procedures of a root."""

    __slots__ = (
        "_acks_queued",
        "_acks_under_way",
        "_core",
        "_custody",
        "_formation",
        "_forwarder",
        "_grounded",
        "_kept",
        "_outages",
        "_owed",
        "_seq_ms",
        "_started_ms",
        "commands",
        "epoch",
        "routes",
        "seq",
    )

    def __init__(self, core: Core, forwarder: Forwarder, formation: Formation) -> None:
        """Start with an empty table."""
        self._core = core
        self._forwarder = forwarder
        self._formation = formation
        self._custody = CustodyDesk()
        self.routes = RouteTable(core.config.node)
        self.commands = CommandDesk(core, forwarder, self.routes)
        self.epoch = core.config.epoch
        # A blank disk remembers no former call for registrations: the boot time makes a new one.
        formation.dtsn = self.epoch & 0xFF
        self.seq = 0
        self._seq_ms = 0
        self._started_ms = 0
        self._grounded = True
        self._outages = OutageWatch()
        self._kept: tuple[PersistRoute, ...] = ()
        self._owed: dict[int, None] = {}
        self._acks_queued = 0
        # Sequences of acknowledgements on their way, so that a link failure finds its node.
        self._acks_under_way: OrderedDict[int, int] = OrderedDict()

    def resume(self, held: State, routes: Iterable[PersistRoute]) -> None:
        """Go on after a former boot: never an older epoch, and a call for registrations."""
        self.epoch = max(self.epoch, min(held.epoch + 1, _EPOCH_MAX))
        self._kept = tuple(routes)
        # With a table from disk nobody needs to register anew; without, the call goes out.
        if held.epoch:
            self._formation.dtsn = held.dtsn if self._kept else (held.dtsn + 1) & 0xFF

    def forget(self, node: int) -> None:
        """Drop a node that is homed elsewhere."""
        self._owed.pop(node, None)
        if self.routes.forget(node):
            self._core.emit(ForgetRoute(node))

    def sizes(self) -> dict[str, int]:
        """Return the fill of the tables."""
        return {
            "routes": len(self.routes),
            "custody": len(self._custody),
            "commands": len(self.commands),
            "owed": len(self._owed),
        }

    # --- standing -------------------------------------------------------------------------------

    def start(self, now_ms: int) -> None:
        """Take our place as root and say so."""
        core = self._core
        self._started_ms = now_ms
        core.root = core.config.node
        core.rank = c.ROOT_RANK
        for kept in self._kept:
            self.routes.restore(now_ms, kept.node, kept.record)
        self._kept = ()
        self._formation.size_code = _size_code(len(self.routes))
        core.flags = TagFlag.GROUNDED | TagFlag.ACCEPTS
        core.feasibility.adopt(core.root, (self.epoch, self.seq))
        self._formation.time_offset_s = max(1, core.config.epoch - now_ms // 1000)
        self._formation.start_root(now_ms)
        core.timers.set(Timer.ROOT_SEQ, now_ms + core.scaled(c.SEQ_BUMP_MS))
        core.look_again(now_ms + core.scaled(c.ROOT_YOUNG_MS))

    def bump(self, now_ms: int) -> None:
        """Begin a new sequence; after the last one a new epoch, so that none is ever older."""
        core = self._core
        if self.seq == _SEQ_MAX:
            self.epoch, self.seq = min(self.epoch + 1, _EPOCH_MAX), 0
        else:
            self.seq += 1
        self._seq_ms = now_ms
        core.feasibility.adopt(core.root, (self.epoch, self.seq))
        core.timers.set(Timer.ROOT_SEQ, now_ms + core.scaled(c.SEQ_BUMP_MS))

    def heard_tag(self, now_ms: int, tag: Tag) -> None:
        """Overtake the echo of our own past, should our clock have come back wrong."""
        if tag.root != self._core.config.node or tag.version <= (self.epoch, self.seq):
            return
        self._core.trace("root.overtook")
        self.epoch, self.seq = min(tag.epoch + 1, _EPOCH_MAX), 0
        self.bump(now_ms)
        self._formation.advertise(now_ms)
        self._formation.reset_trickle(now_ms, ResetCause.VERSION)

    def heard_sol(self, now_ms: int, sol: Sol) -> None:
        """Grant a request for a newer sequence, at most every 10 s."""
        core = self._core
        if not sol.flags & SolFlag.SEQ_REQUEST or sol.root != core.root:
            return
        if (sol.epoch, sol.seq) < (self.epoch, self.seq):
            return
        if now_ms - self._seq_ms < core.scaled(c.SEQ_REQUEST_GAP_MS):
            return
        self.bump(now_ms)
        core.trace("root.seq_granted")
        self._formation.advertise(now_ms)
        self._formation.reset_trickle(now_ms, ResetCause.VERSION)

    def set_grounded(self, now_ms: int, *, grounded: bool) -> None:
        """The uplink to the head-end was lost (acts after 30 s and 120 s) or is back."""
        if grounded == self._grounded:
            return
        self._grounded = grounded
        timers = self._core.timers
        if not grounded:
            timers.set(Timer.ROOT_GROUND, now_ms + self._core.scaled(c.UNGROUND_MS))
            return
        timers.cancel(Timer.ROOT_GROUND)
        if not self._core.flags & TagFlag.GROUNDED:
            self._restate(now_ms, self._core.flags | TagFlag.GROUNDED, c.ROOT_RANK)

    def ground_due(self, now_ms: int) -> None:
        """Still without uplink: first give up the flag, then make ourselves dearer."""
        core = self._core
        if core.flags & TagFlag.GROUNDED:
            wait_ms = core.scaled(c.UNGROUND_RANK_MS - c.UNGROUND_MS)
            core.timers.set(Timer.ROOT_GROUND, now_ms + wait_ms)
            self._restate(now_ms, core.flags & ~TagFlag.GROUNDED, core.rank)
        else:
            self._restate(now_ms, core.flags, c.ROOT_RANK + c.UNGROUNDED_RANK_PENALTY)

    def _restate(self, now_ms: int, flags: int, rank: int) -> None:
        core = self._core
        core.trace("root.grounded", int(bool(flags & TagFlag.GROUNDED)))
        core.flags = flags
        if rank != core.rank:
            # A rank that rises must come with a new sequence, or no child finds us feasible.
            self.bump(now_ms)
            core.rank = rank
        self._formation.advertise(now_ms)
        self._formation.reset_trickle(now_ms, ResetCause.ROOT)

    # --- outages ---------------------------------------------------------------------------------

    def outage(self, now_ms: int, frame: Outage) -> None:
        """Hand a report of lost power over, and quieten the network in a storm."""
        self._core.emit(PowerReport(restored=False, nodes=frame.nodes))
        self._outages.report(now_ms, frame.nodes)
        self.outage_due(now_ms)

    def outage_due(self, now_ms: int) -> None:
        """Enter or leave collect-only mode."""
        core = self._core
        window_ms = core.scaled(c.OUTAGE_WINDOW_MS)
        storm = self._outages.is_storm(now_ms, len(self.routes), window_ms)
        if storm != bool(core.flags & TagFlag.COLLECT_ONLY):
            core.trace("root.collect_only", int(storm))
            core.flags ^= TagFlag.COLLECT_ONLY
            self._formation.advertise(now_ms)
            self._formation.reset_trickle(now_ms, ResetCause.VERSION)
        if len(self._outages):
            core.timers.set(Timer.OUTAGE, now_ms + window_ms + 1)

    # --- frames coming up -----------------------------------------------------------------------

    def take(self, now_ms: int, src: int, lseq: int, frame: UpFrame) -> None:
        """Take a frame addressed to us."""
        head = frame.head
        self.routes.allow(near=self._core.config.node, far=src)
        if isinstance(frame, Up) and self._custody.join(frame, src, lseq):
            return
        seen = self._forwarder.duplicates.look(now_ms, head.origin, head.fseq, head.hop_limit)
        if seen is not Verdict.NEW:
            self._core.answer(src, lseq, HackStatus.DUP)
            return
        if isinstance(frame, Up):
            self._deliver(now_ms, src, lseq, frame)
            return
        self._forwarder.duplicates.remember(now_ms, head.origin, head.fseq, head.hop_limit)
        self._core.answer(src, lseq, HackStatus.OK)
        if isinstance(frame, Reg):
            self._register(now_ms, frame)
        elif isinstance(frame, Report):
            self._reported(now_ms, frame)
        elif isinstance(frame, Outage):
            self.outage(now_ms, frame)
        elif isinstance(frame, Vouch):
            self._core.emit(JoinAsked(head.origin, frame.eui64, frame.blob))

    def admit(self, now_ms: int, asked: JoinAsked, blob: bytes) -> None:
        """Send the answer to a join request back the way it came; a lost one is asked for again."""
        if asked.proxy == self._core.config.node:
            self._core.emit(LinkBroadcast(Join(JoinStage.ACCEPT, asked.eui64, blob)))
            return
        path = self.routes.path(now_ms, asked.proxy)
        if path is None:
            self._core.trace("join.no_route")
            return
        head = DownHead(self._core.config.node, self.commands.draw_dseq(), c.HOP_LIMIT, 0, 0, path)
        job = Job(JobKind.DOWN, Admit(head, asked.eui64, blob), now_ms, dst=path[0])
        self._forwarder.submit(job)

    def _deliver(self, now_ms: int, src: int, lseq: int, frame: Up) -> None:
        if self._custody.is_full:
            self._core.answer(src, lseq, HackStatus.BUSY)
            return
        head = frame.head
        tokens = self._custody.open(now_ms, frame, src, lseq)
        for token, record in zip(tokens, frame.records, strict=True):
            age_s = min(record.age_s + head.age_s, _AGE_MAX_S)
            self._core.emit(Delivered(token, head.origin, record.oseq, age_s, record.payload))
        self._core.timers.set_earlier(Timer.HOUSEKEEPING, now_ms + c.CUSTODY_TIMEOUT_MS + 1)
        self.commands.life_sign(now_ms, head.origin)

    def custody(self, now_ms: int, token: int, *, ok: bool) -> None:
        """Take the driver's answer to a delivery."""
        pending = self._custody.answer(token, ok=ok)
        if pending is None:
            return
        status = HackStatus.BUSY if pending.refused else HackStatus.OK
        for src, lseq in pending.waiters:
            self._core.answer(src, lseq, status)
        if pending.refused:
            return
        head = pending.frame.head
        self._forwarder.duplicates.remember(now_ms, head.origin, head.fseq, head.hop_limit)
        row = self.routes.mark(now_ms, pending.frame)
        if row is not None and not row.provisional:
            self._after_mark(now_ms, row, pending.frame)

    def housekeeping(self, now_ms: int) -> None:
        """Drop what is over its time."""
        for _ in range(self._custody.expire(now_ms)):
            self._core.trace("custody.unanswered")
        for node in self.routes.expire(now_ms):
            self._core.trace("route.expired")
            self._core.emit(ForgetRoute(node))
        self._count(now_ms)

    # --- registrations and acknowledgements -----------------------------------------------------

    def _register(self, now_ms: int, reg: Reg) -> None:
        node = reg.head.origin
        if reg.head.flags & UpFlag.RESTORED:
            self._core.emit(PowerReport(restored=True, nodes=(node,)))
        row = self.routes.register(now_ms, reg)
        if row is None:
            self._core.trace("register.refused")
            return
        record = self.routes.changed(node)
        if record is not None:
            self._core.emit(PersistRoute(node, record))
        self._count(now_ms)
        self._acknowledge(now_ms, node, row)
        self.commands.life_sign(now_ms, node)
        self._pay(now_ms)

    def _count(self, now_ms: int) -> None:
        """Let everybody know how many there are: it sets the pace of registrations.

        Who booted lately knows a few of many, and says nothing rather than so little.
        """
        formation = self._formation
        if formation.size_code or now_ms - self._started_ms >= self._core.scaled(c.ROOT_YOUNG_MS):
            formation.size_code = _size_code(len(self.routes))

    def _after_mark(self, now_ms: int, row: Registration, frame: Up) -> None:
        row.since_ack += len(frame.records)
        if row.since_ack >= self._core.config.ack_every:
            self._acknowledge(now_ms, frame.head.origin, row)
            return
        wanted = row.window.has_gap or frame.head.flags & UpFlag.ACK_WANTED
        if wanted and row.ack_due_ms < 0:
            gap_ms = self._core.paced(c.ACK_GAP_MS, 4)
            pause_ms = self._core.scaled(c.TRICKLE_RESET_GAP_MS)
            row.ack_due_ms = max(now_ms + gap_ms, row.acked_ms + pause_ms)
            self._core.timers.set_earlier(Timer.ROOT_ACKS, row.ack_due_ms)

    def acks_due(self, now_ms: int) -> None:
        """Ask for the gaps that did not fill by themselves."""
        for node in list(self.routes):
            row = self.routes.get(node)
            if row is None or row.ack_due_ms < 0:
                continue
            if row.ack_due_ms > now_ms:
                self._core.timers.set_earlier(Timer.ROOT_ACKS, row.ack_due_ms)
                continue
            row.ack_due_ms = -1
            self._acknowledge(now_ms, node, row)
        self._pay(now_ms)

    def _acknowledge(self, now_ms: int, node: int, row: Registration) -> None:
        """Send the cumulative acknowledgement, or owe it until a route is known."""
        core = self._core
        if row.ack_queued:
            row.ack_again = True
            return
        path = self.routes.path(now_ms, node)
        if path is None or self._acks_queued >= _ACKS_QUEUED_MAX:
            self._owed[node] = None
            # A ban that ends gives a route back and tells nobody.
            core.timers.set_earlier(Timer.ROOT_ACKS, now_ms + core.scaled(c.OWED_AGAIN_MS))
            return
        self._owed.pop(node, None)
        row.since_ack = 0
        row.ack_due_ms = -1
        row.acked_ms = now_ms
        dseq = self.commands.draw_dseq()
        self._acks_under_way[dseq] = node
        if len(self._acks_under_way) > _ACKS_UNDER_WAY_MAX:
            self._acks_under_way.popitem(last=False)
        frame = RegAck(
            DownHead(core.config.node, dseq, c.HOP_LIMIT, 0, 0, path),
            reg_fseq=row.fseq,
            life=row.life,
            status=0,
            lifetime_s=max(1, (row.expires_ms - row.heard_ms) // 1000),
            high_water=row.window.high_water,
            bitmap=row.window.bitmap,
            time_s=self._formation.time_s(now_ms),
        )
        job = Job(JobKind.DOWN, frame, now_ms, dst=path[0], priority=_ACK_PRIORITY)
        job.done = lambda at_ms, ok: self._ack_done(at_ms, node, frame, ok=ok)
        row.ack_queued = self._forwarder.submit(job)
        if row.ack_queued:
            self._acks_queued += 1
        else:
            self._owed[node] = None

    def _pay(self, now_ms: int) -> None:
        """Build the acknowledgements that waited for a route or for room."""
        for node in list(self._owed):
            if self._acks_queued >= _ACKS_QUEUED_MAX:
                return
            row = self.routes.get(node)
            if row is None:
                del self._owed[node]
            else:
                self._acknowledge(now_ms, node, row)

    def _ack_done(self, now_ms: int, node: int, frame: RegAck, *, ok: bool) -> None:
        """The first hop took an acknowledgement, or failed."""
        self._acks_queued -= 1
        row = self.routes.get(node)
        again = row is not None and row.ack_again
        if row is not None:
            row.ack_queued = row.ack_again = False
        head = frame.head
        if not ok:
            self._failed(now_ms, head.dseq, self._core.config.node, head.path[0])
        elif again and row is not None:
            self._acknowledge(now_ms, node, row)
        self._pay(now_ms)

    def _reported(self, now_ms: int, report: Report) -> None:
        if report.status == ReportStatus.DELIVERED:
            self.commands.delivered(report.dseq)
        else:
            self._failed(now_ms, report.dseq, report.near, report.far)

    def _failed(self, now_ms: int, dseq: int, near: int, far: int) -> None:
        """A link of a source route failed: leave it out and go another way."""
        until_ms = now_ms + self._core.scaled(c.DENY_MIN_MS)
        self.routes.ban(now_ms, near=near, far=far, until_ms=until_ms)
        self._core.trace("route.link_failed")
        self.commands.link_failed(now_ms, dseq)
        node = self._acks_under_way.pop(dseq, None)
        row = self.routes.get(node) if node is not None else None
        if node is not None and row is not None:
            self._acknowledge(now_ms, node, row)


def _size_code(nodes: int) -> int:
    return min(nodes.bit_length(), c.SIZE_CODE_MAX)
