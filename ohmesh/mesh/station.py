"""A station: a member with link, hop ARQ and joining; octets in, octets out."""

from collections.abc import Iterable

from ohmesh.mesh import constants as c
from ohmesh.mesh.arq import Arq, ExchangeDone
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.core import LinkAnswer, LinkBroadcast, LinkSend
from ohmesh.mesh.errors import FrameError, RejectReason
from ohmesh.mesh.frames import Adv, Frame, Hack, HackStatus, Join, JoinStage
from ohmesh.mesh.joining import Applicant, Candidate, Proxy
from ohmesh.mesh.link import Arrival, Heard, Link
from ohmesh.mesh.member import Member
from ohmesh.mesh.outputs import (
    FrameRejected,
    JoinAsked,
    KeysGranted,
    Output,
    Persist,
    PersistPayload,
    PersistRoute,
    Transmit,
)
from ohmesh.mesh.sealing import NO_KEY, ChecksumSealer, KeyedSealer, Sealer
from ohmesh.mesh.trickle import Rng


class Station(Member):
    """One node of the mesh on octets.

    The driver's contract:

    * Call ``start`` once, ``receive`` for every frame the radio hears, ``wake`` at or after
      ``next_wake_ms``; look at ``next_wake_ms`` again after every call. ``now_ms`` is a monotonic
      integer of one clock; a step back counts as no time passed.
    * Handle the returned outputs in order. Make ``Persist``, ``PersistPayload`` and
      ``ForgetPayload`` durable before handling what follows them. On the next boot pass the last
      ``Persist.state`` as ``state`` and the payloads kept as ``pending``. A payload costs one
      small write when submitted; the state blob (22 B) is written once per 4096 frames and once
      per end-to-end acknowledgement, never per payload.
    * Root: ``PersistRoute`` and ``ForgetRoute`` need not be durable at once; pass what is kept as
      ``routes`` and commands work again right after a reboot. Without, the nodes register anew.
    * A meter whose ``KeyedSealer`` holds no key is outside: it asks to join with its
      ``applicant`` and hears nobody until ``KeysGranted``, which must be durable at once.
    * Root: answer a ``JoinAsked`` of a meter that may join with ``admit``, others not at all.
    * Root: answer each ``Delivered`` with ``custody``; until then the sender keeps the frame.
    """

    __slots__ = (
        "_arq",
        "_candidate",
        "_inside",
        "_link",
        "_out",
        "_proxy",
        "_sealer",
    )

    def __init__(
        self,
        config: StationConfig,
        rng: Rng,
        state: bytes | None = None,
        *,
        pending: Iterable[PersistPayload] = (),
        routes: Iterable[PersistRoute] = (),
        sealer: Sealer | None = None,
        applicant: Applicant | None = None,
    ) -> None:
        """Create a station.

        Args:
            config: settings.
            rng: the only source of randomness, e.g. ``random.Random(seed)``.
            state: last Persist blob of a former boot; None on the first.
            pending: the payloads kept and not forgotten, in any order.
            routes: root only: the registrations kept and not forgotten.
            sealer: hop seal; integrity without a key if not given.
            applicant: meter only: makes and reads what join messages hold.

        Raises:
            StateError: ``state`` is not a state blob.
        """
        super().__init__(config, rng, state, pending=pending, routes=routes)
        self._sealer = sealer or ChecksumSealer()
        self._link = Link(config, self._counter, self._sealer)
        self._proxy = Proxy(config, rng)
        self._candidate = Candidate(config, rng, applicant) if applicant else None
        self._inside = False
        self._arq = Arq(rng, config.ack_timeout_ms)
        self._out: list[Output] = []

    # --- inputs ---------------------------------------------------------------------------------

    def start(self, now_ms: int) -> list[Output]:
        """Boot the station."""
        self._begin(now_ms)
        if self._sealer.newest != NO_KEY:
            self._enter()
        elif self._candidate is not None:
            self._candidate.wish(now_ms)
        return self._finish()

    def receive(self, now_ms: int, frame: bytes, rssi_dbm: int) -> list[Output]:
        """Take a frame from the radio; a bad one comes out as FrameRejected."""
        self._advance(now_ms)
        try:
            heard = self._link.unwrap(frame)
            if heard is not None:
                self._heard(heard, rssi_dbm)
        except FrameError as error:
            self._out.append(FrameRejected(error.reason))
            if error.reason is RejectReason.KEY:
                self._wish_for_keys()
        return self._finish()

    def wake(self, now_ms: int) -> list[Output]:
        """Pass the deadlines that have come."""
        self._advance(now_ms)
        self._step_arq(self._arq.wake(self._now_ms))
        self._wake_joining()
        due_ms = self._engine_due_ms
        if due_ms is not None and due_ms <= self._now_ms:
            self._engine.wake(self._now_ms)
        return self._finish()

    # --- views ----------------------------------------------------------------------------------

    @property
    def next_wake_ms(self) -> int | None:
        """When ``wake`` wants to be called; None if never."""
        candidate_ms = self._candidate.due_ms if self._candidate else None
        due = (self._engine_due_ms, self._arq.due_ms, self._proxy.due_ms, candidate_ms)
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def sizes(self) -> dict[str, int]:
        """Return the fill of every table and queue, for metrics and for tests of their bounds."""
        return super().sizes() | {"peers": self._link.peers}

    # --- inside ---------------------------------------------------------------------------------

    @property
    def _engine_due_ms(self) -> int | None:
        return self._engine.next_wake_ms if self._inside else None

    def _enter(self) -> None:
        """We hold a key: from now on we are a node of the network."""
        self._engine.core.key_newest = self._sealer.newest
        if not self._inside:
            self._inside = True
            self._engine.start(self._now_ms)

    def _wish_for_keys(self) -> None:
        if self._candidate is not None:
            self._candidate.wish(self._now_ms)

    def _wake_joining(self) -> None:
        candidate, proxy, now_ms = self._candidate, self._proxy, self._now_ms
        if candidate and candidate.due_ms is not None and candidate.due_ms <= now_ms:
            self._transmit(c.BROADCAST, candidate.ask(now_ms))
        if proxy.due_ms is not None and proxy.due_ms <= now_ms:
            join = proxy.take()
            assert join is not None
            self._vouch(join)

    def _vouch(self, join: Join) -> None:
        if self._config.is_root:
            self._out.append(JoinAsked(self._config.node, join.eui64, join.blob))
        elif self._engine.uplink.joined:
            self._engine.vouch(self._now_ms, join)

    def _join(self, join: Join) -> None:
        """A join message: of a stranger, or the answer to one."""
        if join.stage == JoinStage.REQUEST:
            if self._inside:
                self._proxy.heard(self._now_ms, join)
            return
        self._proxy.overheard(join)
        keys = self._candidate.accepted(join) if self._candidate else None
        if keys and isinstance(self._sealer, KeyedSealer):
            self._sealer.install(keys)
            self._out.append(KeysGranted(keys))
            self._enter()

    def _heard(self, heard: Heard, rssi_dbm: int) -> None:
        now_ms, frame = self._now_ms, heard.frame
        if isinstance(frame, Join):
            self._join(frame)
            return
        if isinstance(frame, Adv) and frame.key_newest > self._sealer.newest:
            self._wish_for_keys()
        if heard.arrival is Arrival.STALE:
            self._resync(heard)
        elif isinstance(frame, Hack):
            self._hacked(heard.src, frame)
        elif frame is not None:
            lseq = None if heard.broadcast else heard.lseq
            self._engine.receive(now_ms, heard.src, frame, rssi_dbm=rssi_dbm, lseq=lseq)
        elif not heard.broadcast:
            status = self._link.answer_again(now_ms, heard.src, heard.lseq)
            if status is not None:
                self._hack(heard.src, heard.lseq, status)

    def _resync(self, heard: Heard) -> None:
        """Refuse an old counter; an honest sender that lost its own is told how far to go."""
        self._out.append(FrameRejected(RejectReason.REPLAY))
        if not heard.broadcast:
            highest = self._link.highest(heard.src)
            hack = Hack(heard.lseq, HackStatus.RESYNC, self._engine.core.tag(), highest)
            self._transmit(heard.src, hack)

    def _hacked(self, src: int, hack: Hack) -> None:
        done = self._arq.hear(src, hack)
        if done is None:
            return
        if hack.status == HackStatus.RESYNC:
            self._counter.jump(hack.counter)
        self._step_arq(done)

    def _step_arq(self, step: bytes | ExchangeDone | None) -> None:
        if isinstance(step, ExchangeDone):
            self._engine.exchange_done(self._now_ms, step.attempts, step.hack)
        elif step is not None:
            self._out.append(Transmit(step))

    def _finish(self) -> list[Output]:
        """Carry out the engine's effects and hand the outputs over, the state blob first."""
        for effect in self._engine.drain():
            if isinstance(effect, LinkSend):
                frame, lseq = self._link.wrap(effect.dst, effect.frame)
                self._arq.begin(
                    self._now_ms,
                    frame,
                    dst=effect.dst,
                    lseq=lseq,
                    attempts=effect.attempts,
                )
            elif isinstance(effect, LinkBroadcast):
                if self._inside:
                    self._transmit(c.BROADCAST, effect.frame)
            elif isinstance(effect, LinkAnswer):
                self._link.answered(self._now_ms, effect.dst, effect.lseq, effect.status)
                self._hack(effect.dst, effect.lseq, effect.status)
            else:
                self._out.append(effect)
        out, self._out = self._out, []
        return [*self._persist(), *out]

    def _hack(self, dst: int, lseq: int, status: HackStatus) -> None:
        self._transmit(dst, Hack(lseq, status, self._engine.core.tag()))

    def _transmit(self, dst: int, frame: Frame) -> None:
        octets, _ = self._link.wrap(dst, frame)
        self._out.append(Transmit(octets))

    def _persist(self) -> list[Output]:
        uplink = self._engine.uplink
        if not self._counter.must_persist and not uplink.store_changed:
            return []
        self._counter.must_persist = uplink.store_changed = False
        return [Persist(self._state().encode())]
