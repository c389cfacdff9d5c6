"""How long a frame is on the air, without building its octets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ohmesh.mesh import frames as f
from ohmesh.mesh.constants import HEADER_BYTES, MIC_BYTES
from ohmesh.mesh.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Callable

_AROUND = HEADER_BYTES + MIC_BYTES
_ID, _RECORD, _PARENT = 4, 5, 5
_DOWN = 13
_SHARED, _ANSWER = 15, 19
HACK_BYTES = _AROUND + 18


def _answer(answer: f.RegAck) -> int:
    way = len(answer.head.path) - 1
    return _ANSWER + _ID * way + (answer.bitmap.bit_length() + 7) // 8


_SIZES: dict[type, tuple[int, Callable[[Any], int]]] = {
    f.Adv: (FrameType.ADV, lambda _: 22),
    f.Sol: (FrameType.SOL, lambda _: 11),
    f.Reg: (FrameType.REG, lambda reg: 26 + _PARENT * len(reg.parents)),
    f.RegAck: (FrameType.REGACK, lambda ack: _DOWN + _ID * len(ack.head.path) + 25),
    f.RegAcks: (FrameType.REGACKS, lambda shared: _SHARED + sum(map(_answer, shared.parts))),
    f.Up: (FrameType.UP, lambda up: 24 + sum(_RECORD + len(r.payload) for r in up.records)),
    f.Down: (FrameType.DOWN, lambda down: _DOWN + _ID * len(down.head.path) + len(down.payload)),
    f.Report: (FrameType.REPORT, lambda _: 31),
    f.Join: (FrameType.JOIN, lambda join: 9 + len(join.blob)),
    f.Probe: (FrameType.PROBE, lambda _: 0),
    f.Vouch: (FrameType.VOUCH, lambda vouch: 26 + len(vouch.blob)),
    f.Admit: (FrameType.ADMIT, lambda a: _DOWN + _ID * len(a.head.path) + 8 + len(a.blob)),
    f.Outage: (FrameType.OUTAGE, lambda outage: 18 + _ID * len(outage.nodes)),
}


def size_of(frame: f.Frame) -> tuple[int, int]:
    """The type and the octets of a frame with header and seal; see `ohmesh.mesh.codec`."""
    kind, body = _SIZES[type(frame)]
    return int(kind), _AROUND + body(frame)
