"""How a node finds its place and keeps it: advertising, soliciting, probing, poison, hold-down.

Phases (core.Phase)::

    SEEKING  --parent proven-->  ATTACHED
    ATTACHED --no feasible parent left-->  POISONED   (rank infinite is told three times)
    POISONED --feasible parent appears-->  ATTACHED   (tier 1 cannot loop)
    POISONED --hold-down over-->  SEEKING             (tier 2 allowed from here on)

A root is always ATTACHED.
"""

from enum import IntEnum

from ohmesh.mesh import constants as c
from ohmesh.mesh.core import Core, LinkBroadcast, Phase
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import Adv, Probe, Sol, SolFlag, Tag, TagFlag
from ohmesh.mesh.neighbours import Neighbour
from ohmesh.mesh.routing import Change, Routing, is_usable
from ohmesh.mesh.timers import Timer
from ohmesh.mesh.trickle import Trickle
from ohmesh.mesh.uplink import Uplink

_PROBE_PRIORITY = 3
_ROUND_TRIPS = 4
_REQUESTS = 2
"""Neighbours asked for a newer sequence when the last feasible parent is gone."""


class ResetCause(IntEnum):
    """Why the advertisement timer falls back; each cause at most once a minute."""

    VERSION = 0
    PARENT = 1
    LOST = 2
    SOLICITED = 3
    ROOT = 4
    RANK = 5
    INCONSISTENT = 6
    SILENCE = 7


class Formation:
    """Phase, advertisements and probes of one node."""

    __slots__ = (
        "_advertised_rank",
        "_core",
        "_doubt_ms",
        "_forwarder",
        "_held_until_ms",
        "_poisons_left",
        "_probing",
        "_request_ms",
        "_reset_ms",
        "_routing",
        "_solicit_ms",
        "_started_ms",
        "_trickle",
        "_uplink",
        "dtsn",
        "size_code",
        "time_offset_s",
    )

    def __init__(self, core: Core, forwarder: Forwarder, uplink: Uplink) -> None:
        """Start seeking."""
        self._core = core
        self._forwarder = forwarder
        self._uplink = uplink
        self._routing = Routing(core)
        self._trickle = Trickle(
            core.rng,
            imin_ms=core.scaled(c.TRICKLE_IMIN_MS),
            doublings=c.TRICKLE_DOUBLINGS,
            k=c.TRICKLE_K,
        )
        self._reset_ms = [-1] * len(ResetCause)
        self._advertised_rank = c.INFINITE_RANK
        self._poisons_left = 0
        self._probing = 0
        self._request_ms = -1
        self._solicit_ms = 0
        self._held_until_ms = -1
        self._doubt_ms = -1
        self._started_ms = 0
        self.dtsn = 0
        self.size_code = 0
        self.time_offset_s = 0

    # --- life -----------------------------------------------------------------------------------

    def start(self, now_ms: int) -> None:
        """Boot a meter: let the children of a former life go, then look around."""
        self._started_ms = now_ms
        core = self._core
        self._poisons_left = c.BOOT_POISON_COUNT
        self._solicit_ms = core.scaled(c.SOLICIT_MIN_MS)
        at_ms = now_ms + 1 + core.rng.randrange(core.scaled(c.BOOT_SPREAD_MS))
        core.timers.set(Timer.POISON, at_ms)
        core.timers.set(Timer.SOLICIT, at_ms + 1 + core.rng.randrange(core.scaled(c.POISON_GAP_MS)))

    def start_root(self, now_ms: int) -> None:
        """Boot a root: it is where it is, and says so."""
        self._started_ms = now_ms
        self._core.phase = Phase.ATTACHED
        self.advertise(now_ms)
        self.reset_trickle(now_ms, ResetCause.ROOT)

    def refresh(self, now_ms: int) -> None:
        """Work out the standing again after neighbours changed, and act on the difference."""
        core = self._core
        if not core.dirty:
            return
        core.dirty = False
        if core.config.is_root or (core.phase is Phase.SEEKING and self._probing):
            return
        silent = core.attached and core.flags & TagFlag.COLLECT_ONLY
        change = self._routing.evaluate(now_ms)
        if change.lost:
            self._lose(now_ms)
        elif core.parents:
            self._apply(now_ms, change)
            if core.flags & TagFlag.COLLECT_ONLY != silent:
                # Silence begins and ends everywhere within seconds, or it lasts for whom it missed.
                self.reset_trickle(now_ms, ResetCause.SILENCE)

    def _apply(self, now_ms: int, change: Change) -> None:
        core, timers = self._core, self._core.timers
        if change.gained:
            core.phase = Phase.ATTACHED
            for timer in (Timer.SOLICIT, Timer.DECIDE, Timer.POISON, Timer.HOLD_DOWN):
                timers.cancel(timer)
            self._poisons_left = 0
            self._arm_probe(now_ms, self._candidates(now_ms))
            core.trace("parent.gained")
            self._forwarder.release(now_ms)
            self.advertise(now_ms)
            self.reset_trickle(now_ms, ResetCause.PARENT)
        elif change.parent:
            core.trace("parent.switched")
            self._forwarder.release(now_ms)
        if change.root:
            self.reset_trickle(now_ms, ResetCause.ROOT)
        if change.root or change.gained or change.parent:
            self._register(now_ms, change)
        if change.starved:
            # Somebody below us waits for this sequence.
            self.advertise(now_ms)
            self.reset_trickle(now_ms, ResetCause.VERSION)
        self._watch_rank(now_ms)

    def _register(self, now_ms: int, change: Change) -> None:
        """Tell the root of a new parent, the sooner the fewer others have reason to as well.

        While a registration is planned or under way, a better parent does not hurry it: where
        many find a way together everybody changes, and a second each is a storm.
        """
        uplink = self._uplink
        parent = self._core.neighbours.get(self._core.parents[0])
        if parent is not None and (change.root or change.gained):
            self.size_code = parent.size_code
            self._follow_call(parent)
        if uplink.is_known:
            # Lost and found again: what the root holds still stands, and a storm is spared.
            return
        new_way = change.root or change.gained
        if change.root and not change.gained and uplink.registered_root:
            uplink.register_within(now_ms, self._core.scaled(c.REG_MOVED_MS))
        elif uplink.registered_root == self._core.root:
            if new_way:
                uplink.register_within(now_ms, self._spread_ms(c.REG_AGAIN_MS))
            elif not uplink.is_pending(now_ms):
                uplink.register_within(now_ms, self._core.scaled(c.REG_CHANGE_MS))
        elif new_way:
            uplink.register_within(now_ms, self._spread_ms(self._first_ms()))

    def _first_ms(self) -> int:
        """Return how long the first registration may wait where nobody says how many there are.

        Whoever hears many neighbours assumes that there are many more behind them.
        """
        if self.size_code:
            return c.REG_KNOWN_MS
        heard = min(len(self._core.neighbours), c.NEIGHBOURS_MAX)
        return c.REG_FIRST_MS * heard // c.NEIGHBOURS_MAX

    def _watch_rank(self, now_ms: int) -> None:
        risen = self._core.rank - self._advertised_rank
        if risen > c.RANK_RISE_RESET:
            self.advertise(now_ms)
            self.reset_trickle(now_ms, ResetCause.RANK)
        elif -risen >= c.RANK_FALL_TELL and not self._core.timers.is_set(Timer.ANSWER):
            # Who could do better through us would learn it at our next turn, half an hour on.
            spread_ms = self._core.scaled(c.RANK_FALL_SPREAD_MS)
            at_ms = now_ms + 1 + self._core.rng.randrange(spread_ms)
            self._core.timers.set(Timer.ANSWER, at_ms)

    def _lose(self, now_ms: int) -> None:
        """Tell the children at once: silence here lets rank count to infinity (RIOT #21585)."""
        core = self._core
        core.trace("parent.lost")
        core.phase = Phase.POISONED
        core.rank = c.INFINITE_RANK
        core.parents = ()
        core.flags = TagFlag.NONE
        self._trickle.stop()
        self._poisons_left = c.POISON_COUNT
        self._held_until_ms = now_ms + core.paced(c.HOLD_DOWN_MS, _ROUND_TRIPS)
        core.timers.set(Timer.HOLD_DOWN, self._held_until_ms)
        core.timers.cancel(Timer.PROBE)
        self.poison_due(now_ms)
        self._request_seq(now_ms)

    def poison_due(self, now_ms: int) -> None:
        """Send one of the poison advertisements."""
        if self._poisons_left == 0 or self._core.attached:
            return
        self._poisons_left -= 1
        self._core.trace("poison.sent")
        self.advertise(now_ms)
        if self._poisons_left:
            self._core.timers.set(Timer.POISON, now_ms + self._core.paced(c.POISON_GAP_MS, 1))

    def hold_down_due(self, now_ms: int) -> None:
        """Hold-down is over: look for anybody with a route."""
        core = self._core
        if core.phase is not Phase.POISONED:
            return
        core.phase = Phase.SEEKING
        self._solicit_ms = core.scaled(c.SOLICIT_MIN_MS)
        self.solicit_due(now_ms)

    # --- advertising ----------------------------------------------------------------------------

    def advertise(self, now_ms: int) -> None:
        """Broadcast where we stand."""
        tag = self._core.tag()
        if now_ms == self._started_ms and not self._core.config.is_root:
            tag = Tag(tag.root, tag.epoch, tag.seq, tag.rank, tag.hops, TagFlag.BOOT, tag.load)
        self._advertised_rank = tag.rank
        adv = Adv(tag, self.dtsn, self.size_code, self._core.key_newest, self.time_s(now_ms))
        self._core.emit(LinkBroadcast(adv))

    def time_s(self, now_ms: int) -> int:
        """Return the network's unix time, 0 if not known."""
        return (self.time_offset_s + now_ms // 1000) & 0xFFFFFFFF if self.time_offset_s else 0

    def reset_trickle(self, now_ms: int, cause: ResetCause) -> None:
        """Advertise fast again, unless this cause did so within the last minute."""
        last_ms = self._reset_ms[cause]
        gap_ms = self._core.scaled(c.TRICKLE_RESET_GAP_MS)
        if last_ms >= 0 and now_ms - last_ms < gap_ms:
            return
        self._reset_ms[cause] = now_ms
        self._trickle.reset(now_ms)
        self._core.timers.set(Timer.TRICKLE, self._trickle.next_ms)

    def trickle_due(self, now_ms: int) -> None:
        """Pass a point of the advertisement timer."""
        if not self._core.attached:
            return
        if self._trickle.wake(now_ms):
            self.advertise(now_ms)
        if self._trickle.next_ms >= 0:
            self._core.timers.set(Timer.TRICKLE, self._trickle.next_ms)

    def answer_due(self, now_ms: int) -> None:
        """Advertise once for somebody who asked."""
        if self._core.attached:
            self.advertise(now_ms)

    def heard_adv(self, now_ms: int, row: Neighbour, adv: Adv) -> None:
        """Take over what a neighbour advertises."""
        core = self._core
        if not adv.tag.flags & TagFlag.BOOT:
            self._doubt(now_ms, row, adv.tag)
        else:
            core.children.drop(row.id)
        if adv.tag.flags & TagFlag.BOOT or _is_new_root(row, adv.tag):
            row.pardon()
        row.learn(now_ms, adv.tag)
        row.dtsn = adv.dtsn
        row.size_code = min(adv.size_code, c.SIZE_CODE_MAX)
        if not row.has_route():
            return
        if adv.tag.root == core.root:
            self._trickle.hear_consistent()
        elif core.attached and not core.config.is_root:
            self._court(now_ms, row)
        if core.phase is Phase.SEEKING and not core.timers.is_set(Timer.DECIDE):
            core.timers.set(Timer.DECIDE, now_ms + self._collect_ms())
        self._follow_root(now_ms, row, adv)

    def _follow_root(self, now_ms: int, row: Neighbour, adv: Adv) -> None:
        """A parent passes on what the root wants of everybody: time, size, new registrations."""
        if not self._core.is_parent(row.id) or adv.tag.root != self._core.root:
            return
        self.size_code = row.size_code
        if adv.time_s:
            self.time_offset_s = adv.time_s - now_ms // 1000
        if self._follow_call(row):
            self._uplink.register_within(now_ms, self._spread_ms(self._first_ms()))
            self.reset_trickle(now_ms, ResetCause.VERSION)

    def _follow_call(self, row: Neighbour) -> bool:
        """Take over the number of the root's last call. Returns: True if it calls us anew."""
        called = row.dtsn >= 0 and row.dtsn != self.dtsn
        if called:
            self.dtsn = row.dtsn
        return called and self._uplink.unregister(self._core.root)

    def _doubt(self, now_ms: int, row: Neighbour, tag: Tag) -> None:
        """Another child lost the root that is our parent too: ask it soon, not at the next turn."""
        core = self._core
        lost = tag.root != row.tag.root or tag.rank == c.INFINITE_RANK
        shared = row.tag.root == core.root and row.has_route() and row.tag.hops == 1
        if lost and shared and core.hops == 1 and self._uplink.joined:
            self._doubt_ms = now_ms
            spread_ms = core.scaled(c.DOUBT_SPREAD_MS)
            core.timers.set_earlier(Timer.PROBE, now_ms + 1 + core.rng.randrange(spread_ms))

    def _court(self, now_ms: int, row: Neighbour) -> None:
        """Our root lost its uplink and a neighbour's has one: prove the link to it at once."""
        ours, theirs = self._core.flags, row.tag.flags
        if ours & TagFlag.GROUNDED or not theirs & TagFlag.GROUNDED or row.proven:
            return
        if self._probing < c.PROBE_BEST and not row.is_denied(now_ms):
            self._probe(now_ms, row)

    def _spread_ms(self, least_ms: int) -> int:
        nodes = 1 << self.size_code
        return self._core.scaled(max(least_ms, c.REG_JITTER_PER_NODE_MS * nodes))

    # --- soliciting -----------------------------------------------------------------------------

    def solicit_due(self, now_ms: int) -> None:
        """Ask everybody, and the root for a newer sequence; back off while nobody answers."""
        core = self._core
        if core.attached:
            return
        epoch, seq = core.feasibility.version(core.root) or (0, 0)
        flags = SolFlag.SEQ_REQUEST if core.root else SolFlag.NONE
        core.emit(LinkBroadcast(Sol(flags, core.root, epoch, seq)))
        pause_ms = self._solicit_ms
        jitter_ms = pause_ms * 9 // 10 + core.rng.randrange(pause_ms // 5 + 1)
        core.timers.set(Timer.SOLICIT, now_ms + jitter_ms)
        self._solicit_ms = min(pause_ms * 2, core.scaled(c.SOLICIT_MAX_MS))
        core.timers.set_earlier(Timer.DECIDE, now_ms + self._collect_ms())

    def _request_seq(self, now_ms: int) -> None:
        """Ask for a newer sequence by way of neighbours that have a route we may not use.

        A new sequence makes them feasible without waiting for the end of hold-down.
        """
        core = self._core
        held = core.feasibility.version(core.root)
        if held is None:
            return
        rows = [
            row
            for row in core.neighbours
            if row.tag.root == core.root
            and is_usable(row, now_ms)
            and not core.children.has(row.id, now_ms)
        ]
        for row in sorted(rows, key=lambda row: row.cost)[:_REQUESTS]:
            sol = Sol(SolFlag.SEQ_REQUEST, core.root, *held)
            job = Job(JobKind.DIRECT, sol, now_ms, dst=row.id, priority=_PROBE_PRIORITY)
            self._forwarder.submit(job)

    def heard_sol(self, now_ms: int, src: int, sol: Sol, *, broadcast: bool) -> None:
        """Answer a solicitation, and pass a sequence request towards the root."""
        core = self._core
        if not core.attached:
            return
        if broadcast:
            self.reset_trickle(now_ms, ResetCause.SOLICITED)
            delay_ms = 1 + core.rng.randrange(core.scaled(c.TRICKLE_IMIN_MS // 2))
            core.timers.set_earlier(Timer.ANSWER, now_ms + delay_ms)
        if not sol.flags & SolFlag.SEQ_REQUEST or sol.root != core.root:
            return
        held = core.feasibility.version(core.root) or (0, 0)
        if held > (sol.epoch, sol.seq) or core.config.is_root:
            return
        self._routing.eager = True
        gap_ms = core.scaled(c.SEQ_REQUEST_GAP_MS)
        if src in core.parents[:1] or 0 <= now_ms - self._request_ms < gap_ms:
            return
        self._request_ms = now_ms
        job = Job(JobKind.DIRECT, sol, now_ms, dst=core.parents[0], priority=_PROBE_PRIORITY)
        self._forwarder.submit(job)

    # --- probing --------------------------------------------------------------------------------

    def decide_due(self, now_ms: int) -> None:
        """Choose a parent from what was collected; first prove the links of the best few."""
        core = self._core
        if core.attached or self._probing:
            return
        if core.phase is Phase.SEEKING:
            self._try_second_tier(now_ms)
        if core.attached:
            return
        routed = [row for row in core.neighbours if row.has_route() and not self._is_settled(row)]
        routed.sort(key=lambda row: row.cost)
        fresh = [row for row in routed if row.tag_ms > row.tried_ms or not row.is_denied(now_ms)]
        routed.sort(key=lambda row: row not in fresh)
        # The denied come last: they may be off for hours, or back with everybody else.
        for row in routed[: c.PROBE_FIRST]:
            self._probe(now_ms, row)
        if fresh:
            core.timers.set(Timer.DECIDE, now_ms + self._collect_ms())

    def _is_settled(self, row: Neighbour) -> bool:
        """Return whether probing tells nothing new: it answered since we seek, over a fair link."""
        return row.acked_ms > self._held_until_ms and row.etx_128ths <= c.MAX_LINK_METRIC

    def _try_second_tier(self, now_ms: int) -> None:
        """Nothing feasible: take any neighbour heard after hold-down, with a new distance."""
        core = self._core
        if self._held_until_ms < 0:
            return
        row = self._routing.second_tier(now_ms, self._held_until_ms)
        if row is None:
            return
        core.trace("parent.second_tier")
        core.forget_distance(row.tag.root, row.tag.version)
        core.dirty = True
        self.refresh(now_ms)

    def _probe(self, now_ms: int, row: Neighbour) -> None:
        """Probe a neighbour; a parent's death sentence needs the full number of attempts."""
        full = self._core.config.attempts
        parent = self._core.is_parent(row.id)
        job = Job(
            JobKind.DIRECT,
            Probe(),
            now_ms,
            dst=row.id,
            priority=_PROBE_PRIORITY,
            attempts=full if parent else min(c.PROBE_ATTEMPTS, full),
            done=self._probe_done,
        )
        if self._forwarder.submit(job):
            self._probing += 1

    def _probe_done(self, _now_ms: int, _ok: bool) -> None:  # noqa: FBT001 - Job.done
        self._probing -= 1
        if not self._core.attached:
            self._core.dirty = True

    def probe_due(self, now_ms: int) -> None:
        """Keep the parent's link proven, and one candidate's."""
        core = self._core
        if not core.attached:
            return
        candidates = self._candidates(now_ms)
        self._arm_probe(now_ms, candidates)
        if core.flags & TagFlag.COLLECT_ONLY or self._probing:
            return
        stale_ms = now_ms - self._probe_period_ms() // 2
        parent = core.neighbours.get(core.parents[0])
        if parent is not None and (
            parent.failures or parent.acked_ms < max(stale_ms, self._doubt_ms)
        ):
            self._probe(now_ms, parent)
        stale = self._stale(now_ms, candidates)
        if stale:
            self._probe(now_ms, min(stale, key=lambda row: row.tried_ms))

    def _stale(self, now_ms: int, candidates: list[Neighbour]) -> list[Neighbour]:
        """Return those whose links were not tried for too long."""
        young_ms = now_ms - self._core.scaled(c.PROBE_YOUNG_MS)
        known_ms = now_ms - self._core.scaled(c.PROBE_KNOWN_MS)
        return [
            row for row in candidates if row.tried_ms < (young_ms if row.is_young else known_ms)
        ]

    def _candidates(self, now_ms: int) -> list[Neighbour]:
        """Return the best few that could serve us, or better than now, if their links are good."""
        core, near = self._core, self._core.rank - c.ETX_ONE
        rows = [
            row
            for row in core.neighbours.rows
            if row.tag.rank <= near and row.has_route() and row.id != core.parents[0]
        ]
        known_ms = now_ms - core.scaled(c.PROBE_KNOWN_MS)
        rows.sort(key=lambda row: row.hope(known_ms))
        return rows[: c.PROBE_BEST]

    def _arm_probe(self, now_ms: int, candidates: list[Neighbour]) -> None:
        core = self._core
        period_ms = self._probe_period_ms()
        if any(row.is_young for row in candidates):
            period_ms = min(period_ms, core.scaled(c.PROBE_YOUNG_MS))
        core.timers.set(Timer.PROBE, now_ms + core.spread(period_ms))

    def _probe_period_ms(self) -> int:
        relay = len(self._core.children) > 0
        return self._core.scaled(c.PROBE_RELAY_MS if relay else c.PROBE_LEAF_MS)

    def _collect_ms(self) -> int:
        booting = self._core.phase is Phase.SEEKING and self._held_until_ms < 0
        spread_ms = (c.COLLECT_BOOT_MS if booting else c.COLLECT_MAX_MS) - c.COLLECT_MIN_MS
        return self._core.scaled(c.COLLECT_MIN_MS + self._core.rng.randrange(spread_ms))

    # --- repair ---------------------------------------------------------------------------------

    def inconsistent(self, now_ms: int, src: int, *, again: bool) -> None:
        """A frame came up from a rank that is not above ours: its sender is out of date."""
        core = self._core
        core.trace("rank.inconsistent")
        adv = Adv(core.tag(), self.dtsn, self.size_code, core.key_newest, self.time_s(now_ms))
        job = Job(JobKind.DIRECT, adv, now_ms, dst=src, priority=_PROBE_PRIORITY, attempts=2)
        self._forwarder.submit(job)
        if again:
            self.reset_trickle(now_ms, ResetCause.INCONSISTENT)


def _is_new_root(row: Neighbour, tag: Tag) -> bool:
    return tag.root == row.id and row.tag.root == row.id and tag.epoch > row.tag.epoch
