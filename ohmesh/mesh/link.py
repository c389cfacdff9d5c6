"""The link layer: header, seal, replay window and repeated frames of each sender.

Header, 17 B, big-endian::

     0  version (high 4 bits) and type (low 4)  1
     1  flags, 0                                1
     2  network                                 2
     4  source                                  4
     8  destination, all ones for broadcast     4
    12  key index                               1
    13  counter                                 4
    17  body, then the 8 B seal

The low 16 bits of the counter are the link sequence a HACK names. A retransmission is the same
octets, so its counter is known and it is answered again but not processed again. Join frames have
an unkeyed checksum in the place of the seal.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ohmesh.mesh import codec
from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.errors import FrameError, RejectReason
from ohmesh.mesh.frames import Frame, FrameType, HackStatus
from ohmesh.mesh.replay import Freshness, ReplayWindow
from ohmesh.mesh.sealing import ChecksumSealer, Sealer

_HEADER: Final = struct.Struct(">BBHIIBI")
_SEQ_MASK: Final = 0xFFFF
_STATUSES_MAX: Final = 16
_OPEN: Final = ChecksumSealer()
"""Of join frames: damage is found; who sent them is told by what they carry."""


class Arrival(Enum):
    """What the link makes of a frame."""

    FRESH = 0
    REPEATED = 1
    STALE = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """An authentic frame for us; ``frame`` is None unless it is fresh."""

    src: int
    broadcast: bool
    lseq: int
    arrival: Arrival
    frame: Frame | None


class _Peer:
    """What the link remembers of one sender."""

    __slots__ = ("statuses", "window")

    def __init__(self, counter: int) -> None:
        self.window = ReplayWindow(counter)
        # lseq -> (answer given, when); an answer still owed has no row. Made with the first answer:
        # most neighbours are only overheard.
        self.statuses: dict[int, tuple[HackStatus, int]] | None = None


class Link:
    """Turns frames into octets for the air and back."""

    __slots__ = ("_config", "_counter", "_peers", "_peers_max", "_sealer")

    def __init__(self, config: StationConfig, counter: Counter, sealer: Sealer) -> None:
        """Start with no peers."""
        self._config = config
        self._counter = counter
        self._sealer = sealer
        self._peers: OrderedDict[int, _Peer] = OrderedDict()
        self._peers_max = c.ROOT_LINK_PEERS_MAX if config.is_root else c.LINK_PEERS_MAX

    @property
    def peers(self) -> int:
        """Senders remembered."""
        return len(self._peers)

    def wrap(self, dst: int, frame: Frame) -> tuple[bytes, int]:
        """Return the octets of a frame and its link sequence."""
        kind, body = codec.encode(frame)
        counter = self._counter.draw()
        config = self._config
        first = c.PROTOCOL_VERSION << 4 | kind
        sealer: Sealer = _OPEN if kind == FrameType.JOIN else self._sealer
        header = _HEADER.pack(first, 0, config.net, config.node, dst, sealer.index, counter)
        message = header + body
        mic = sealer.seal(message, sealer.index)
        return message + mic, counter & _SEQ_MASK

    def unwrap(self, data: bytes) -> Heard | None:
        """Return what was heard, or None for a frame meant for another node.

        Raises:
            FrameError: not an authentic frame of this network.
        """
        if not c.HEADER_BYTES + c.MIC_BYTES <= len(data) <= c.MTU_BYTES:
            raise FrameError(RejectReason.LENGTH)
        first, flags, net, src, dst, key_index, counter = _HEADER.unpack_from(data)
        if first >> 4 != c.PROTOCOL_VERSION or flags:
            raise FrameError(RejectReason.VERSION)
        if net != self._config.net:
            raise FrameError(RejectReason.NETWORK)
        if dst not in (self._config.node, c.BROADCAST):
            return None
        if src in (0, self._config.node, c.BROADCAST):
            raise FrameError(RejectReason.SOURCE)
        kind = first & 0xF
        sealer: Sealer = _OPEN if kind == FrameType.JOIN else self._sealer
        if not sealer.verify(data[: -c.MIC_BYTES], data[-c.MIC_BYTES :], key_index):
            newer = key_index > self._sealer.newest
            raise FrameError(RejectReason.KEY if newer else RejectReason.SEAL)
        frame = codec.decode(kind, data[c.HEADER_BYTES : -c.MIC_BYTES])
        if kind == FrameType.JOIN:  # anybody may have sent it: it must not touch what is remembered
            return Heard(src, dst == c.BROADCAST, counter & _SEQ_MASK, Arrival.FRESH, frame)
        arrival = self._judge(src, counter)
        fresh = frame if arrival is Arrival.FRESH else None
        return Heard(src, dst == c.BROADCAST, counter & _SEQ_MASK, arrival, fresh)

    def answered(self, now_ms: int, src: int, lseq: int, status: HackStatus) -> None:
        """Remember the answer given, so that a repeated frame gets it again."""
        peer = self._peers.get(src)
        if peer is None:
            return
        if peer.statuses is None:
            peer.statuses = {}
        peer.statuses[lseq] = (status, now_ms)
        if len(peer.statuses) > _STATUSES_MAX:
            del peer.statuses[next(iter(peer.statuses))]

    def answer_again(self, now_ms: int, src: int, lseq: int) -> HackStatus | None:
        """Return the answer a repeated frame gets, or None if it is owed or forgotten."""
        peer = self._peers.get(src)
        if peer is None or peer.statuses is None or lseq not in peer.statuses:
            return None
        status, at_ms = peer.statuses[lseq]
        if now_ms - at_ms > c.LINK_DUPLICATE_MS:
            return None
        return HackStatus.DUP if status.accepted else status

    def highest(self, src: int) -> int:
        """Return the highest counter heard of a sender."""
        peer = self._peers.get(src)
        return peer.window.highest if peer else 0

    def _judge(self, src: int, counter: int) -> Arrival:
        peer = self._peers.get(src)
        if peer is None:
            self._peers[src] = _Peer(counter)
            if len(self._peers) > self._peers_max:
                self._peers.popitem(last=False)
            return Arrival.FRESH
        self._peers.move_to_end(src)
        freshness = peer.window.judge(counter)
        if freshness is Freshness.NEW:
            return Arrival.FRESH
        return Arrival.REPEATED if freshness is Freshness.SEEN else Arrival.STALE
