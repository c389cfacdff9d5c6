"""Frame bodies to bytes and back; big-endian, no padding.

::

    TAG     0 root4   4 epoch4   8 seq2  10 rank2  12 hops1  13 flags1  14 load1          15 B
    ADV     TAG  15 dtsn1  16 size_code1  17 key_newest1      18 time4                    22 B
    SOL     0 flags1  1 root4  5 epoch4  9 seq2                                           11 B
    UPHEAD  0 origin4  4 fseq4  8 root4  12 rank2  14 hop_limit1  15 age2  17 flags1      18 B
    UP      UPHEAD  18 life2  20 base_oseq4  then records: delta2 age2 length1 payload    24 B +
    REG     UPHEAD  18 life2  20 lifetime2  22 floor4  then n <= 3: parent4 etx1          26 B +
    REPORT  UPHEAD  18 status1  19 dseq4  23 near4  27 far4                               31 B
    OUTAGE  UPHEAD  18 n <= 32: node4                                                     18 B +
    DNHEAD  0 origin4  4 dseq4  8 hop_limit1  9 age2  11 index1  12 n1  13 n * id4        13 B +
    DOWN    DNHEAD  payload
    REGACK  DNHEAD  reg_fseq4 life2 status1 lifetime2 high_water4 bitmap8 time4           25 B after
    REGACKS origin4 here4 hop_limit1 age2 time4, then answers that go on from here   15 B + 19 B +
            each: dseq4 reg_fseq4 life2 status1 lifetime2 high_water4 n1 m1  n * id4  bitmap m
    HACK    0 lseq2  2 status1  3 TAG  and with RESYNC  18 counter4                       18 / 22 B
    JOIN    0 stage1  1 eui8  9 blob                                                       9 B +
    PROBE   empty
    VOUCH   UPHEAD  18 eui8  26 blob                                                      26 B +
    ADMIT   DNHEAD  eui8 blob

ETX in REG is in 32nds of a transmission, saturating at 255.
"""

import struct
from collections.abc import Callable
from typing import Final

from ohmesh.mesh import constants as c
from ohmesh.mesh import frames as f
from ohmesh.mesh.errors import FrameError, MeshUsageError, RejectReason

_TAG = struct.Struct(">IIHHBBB")
_ADV_TAIL = struct.Struct(">BBBI")
_SOL = struct.Struct(">BIIH")
_UPHEAD = struct.Struct(">IIIHBHB")
_BASE = struct.Struct(">HI")
_RECORD = struct.Struct(">HHB")
_REG = struct.Struct(">HHI")
_PARENT = struct.Struct(">IB")
_REPORT = struct.Struct(">BIII")
_ID = struct.Struct(">I")
_DOWNHEAD = struct.Struct(">IIBHBB")
_REGACK = struct.Struct(">IHBHIQI")
_REGACKS = struct.Struct(">IIBHI")
_ANSWER = struct.Struct(">IIHBHIBB")
_HACK = struct.Struct(">HB")
_JOIN = struct.Struct(">BQ")
_EUI = struct.Struct(">Q")

_REG_ETX_STEP: Final = 4
"""128ths of a transmission per unit of the ETX octet in REG."""
RECORD_OVERHEAD_BYTES: Final = _RECORD.size
RECORDS_ROOM_BYTES: Final = c.MAX_BODY_BYTES - _UPHEAD.size - _BASE.size
"""Room for records, each with its overhead, in one UP frame."""
RECORD_DELTA_MAX: Final = 0xFFFF
DOWN_ROOM_BYTES: Final = c.MAX_BODY_BYTES - _DOWNHEAD.size
"""Room for source route (4 B a hop) and payload in one DOWN frame."""
REGACKS_FIXED_BYTES: Final = _REGACKS.size
_BITMAP_MAX_BYTES: Final = 8


def encode(frame: f.Frame) -> tuple[f.FrameType, bytes]:
    """Return the type and the body of a frame.

    Raises:
        MeshUsageError: the body is longer than a frame can carry.
    """
    kind, encoder = _ENCODERS[type(frame)]
    body = encoder(frame)
    if len(body) > c.MAX_BODY_BYTES:
        msg = f"{kind.name} body of {len(body)} B is over {c.MAX_BODY_BYTES} B"
        raise MeshUsageError(msg)
    return kind, body


def decode(kind: int, body: bytes) -> f.Frame:
    """Return the frame of a body.

    Raises:
        FrameError: unknown type, wrong length or a field out of its range; never anything else.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise FrameError(RejectReason.TYPE)
    try:
        return decoder(body)
    except struct.error:
        raise FrameError(RejectReason.BODY) from None


def _require(condition: bool) -> None:  # noqa: FBT001 - reads as an assertion of the format
    if not condition:
        raise FrameError(RejectReason.BODY)


# --- heads --------------------------------------------------------------------------------------


def _pack_tag(tag: f.Tag) -> bytes:
    return _TAG.pack(tag.root, tag.epoch, tag.seq, tag.rank, tag.hops, tag.flags, tag.load)


def _tag_at(body: bytes, offset: int) -> f.Tag:
    return f.Tag(*_TAG.unpack_from(body, offset))


def _pack_up(head: f.UpHead) -> bytes:
    return _UPHEAD.pack(
        head.origin,
        head.fseq,
        head.root,
        head.rank,
        head.hop_limit,
        head.age_s,
        head.flags,
    )


def _up_head(body: bytes) -> f.UpHead:
    head = f.UpHead(*_UPHEAD.unpack_from(body))
    _require(0 < head.origin < c.BROADCAST)
    return head


def _pack_down(head: f.DownHead) -> bytes:
    count = len(head.path)
    fixed = _DOWNHEAD.pack(
        head.origin,
        head.dseq,
        head.hop_limit,
        head.age_s,
        head.index,
        count,
    )
    return fixed + struct.pack(f">{count}I", *head.path)


def _down_head(body: bytes) -> tuple[f.DownHead, int]:
    origin, dseq, hop_limit, age_s, index, count = _DOWNHEAD.unpack_from(body)
    _require(index < count)
    path = struct.unpack_from(f">{count}I", body, _DOWNHEAD.size)
    _require_path(origin, path)
    head = f.DownHead(origin, dseq, hop_limit, age_s, index, path)
    return head, _DOWNHEAD.size + 4 * count


def _require_path(origin: int, path: tuple[int, ...]) -> None:
    _require(0 < len(path) <= c.MAX_SOURCE_HOPS and len(set(path)) == len(path))
    _require(origin not in path and c.BROADCAST not in path)


# --- bodies -------------------------------------------------------------------------------------


def _encode_adv(frame: f.Adv) -> bytes:
    return _pack_tag(frame.tag) + _ADV_TAIL.pack(
        frame.dtsn,
        frame.size_code,
        frame.key_newest,
        frame.time_s,
    )


def _decode_adv(body: bytes) -> f.Adv:
    _require(len(body) == _TAG.size + _ADV_TAIL.size)
    return f.Adv(_tag_at(body, 0), *_ADV_TAIL.unpack_from(body, _TAG.size))


def _encode_sol(frame: f.Sol) -> bytes:
    return _SOL.pack(frame.flags, frame.root, frame.epoch, frame.seq)


def _decode_sol(body: bytes) -> f.Sol:
    return f.Sol(*_SOL.unpack(body))


def _encode_up(frame: f.Up) -> bytes:
    base = frame.records[0].oseq
    parts = [_pack_up(frame.head), _BASE.pack(frame.life, base)]
    for record in frame.records:
        parts.append(_RECORD.pack(record.oseq - base, record.age_s, len(record.payload)))
        parts.append(record.payload)
    return b"".join(parts)


def _decode_up(body: bytes) -> f.Up:
    head = _up_head(body)
    life, base = _BASE.unpack_from(body, _UPHEAD.size)
    offset = _UPHEAD.size + _BASE.size
    records: list[f.Record] = []
    while offset < len(body):
        delta, age_s, length = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size + length
        _require(offset <= len(body) and length <= c.MAX_PAYLOAD_BYTES)
        _require(not records or base + delta > records[-1].oseq)
        _require(bool(records) or delta == 0)
        records.append(f.Record(base + delta, age_s, body[offset - length : offset]))
    _require(bool(records) and records[-1].oseq <= 0xFFFFFFFF)
    return f.Up(head, life, tuple(records))


def _encode_reg(frame: f.Reg) -> bytes:
    parts = [_pack_up(frame.head), _REG.pack(frame.life, frame.lifetime_s, frame.floor)]
    parts += [_PARENT.pack(node, min(0xFF, etx // _REG_ETX_STEP)) for node, etx in frame.parents]
    return b"".join(parts)


def _decode_reg(body: bytes) -> f.Reg:
    head = _up_head(body)
    life, lifetime_s, floor = _REG.unpack_from(body, _UPHEAD.size)
    _require(lifetime_s > 0 and floor > 0)
    rest = body[_UPHEAD.size + _REG.size :]
    _require(0 < len(rest) <= c.MAX_PARENTS * _PARENT.size and len(rest) % _PARENT.size == 0)
    parents = tuple((node, etx * _REG_ETX_STEP) for node, etx in _PARENT.iter_unpack(rest))
    _require(all(etx >= c.ETX_ONE and node != head.origin for node, etx in parents))
    return f.Reg(head, life, lifetime_s, floor, parents)


def _encode_report(frame: f.Report) -> bytes:
    return _pack_up(frame.head) + _REPORT.pack(frame.status, frame.dseq, frame.near, frame.far)


def _decode_report(body: bytes) -> f.Report:
    _require(len(body) == _UPHEAD.size + _REPORT.size)
    status, dseq, near, far = _REPORT.unpack_from(body, _UPHEAD.size)
    _require(status in _REPORT_STATUSES)
    return f.Report(_up_head(body), status, dseq, near, far)


def _encode_outage(frame: f.Outage) -> bytes:
    return _pack_up(frame.head) + b"".join(map(_ID.pack, frame.nodes))


def _decode_outage(body: bytes) -> f.Outage:
    head = _up_head(body)
    rest = body[_UPHEAD.size :]
    _require(0 < len(rest) <= c.MAX_OUTAGE_IDS * _ID.size and len(rest) % _ID.size == 0)
    return f.Outage(head, tuple(node for (node,) in _ID.iter_unpack(rest)))


def _encode_down(frame: f.Down) -> bytes:
    return _pack_down(frame.head) + frame.payload


def _decode_down(body: bytes) -> f.Down:
    head, offset = _down_head(body)
    _require(len(body) - offset <= c.MAX_PAYLOAD_BYTES)
    return f.Down(head, body[offset:])


def _encode_regack(frame: f.RegAck) -> bytes:
    return _pack_down(frame.head) + _REGACK.pack(
        frame.reg_fseq,
        frame.life,
        frame.status,
        frame.lifetime_s,
        frame.high_water,
        frame.bitmap,
        frame.time_s,
    )


def _decode_regack(body: bytes) -> f.RegAck:
    head, offset = _down_head(body)
    _require(len(body) == offset + _REGACK.size)
    return f.RegAck(head, *_REGACK.unpack_from(body, offset))


def answer_bytes(answer: f.RegAck) -> int:
    """Return what an answer takes inside a shared frame, with its way from the receiver on."""
    head = answer.head
    hops = len(head.path) - head.index - 1
    return _ANSWER.size + 4 * hops + _octets(answer.bitmap)


def _octets(number: int) -> int:
    return (number.bit_length() + 7) // 8


def _encode_regacks(frame: f.RegAcks) -> bytes:
    first = frame.parts[0]
    head = first.head
    fixed = _REGACKS.pack(head.origin, head.path[0], head.hop_limit, head.age_s, first.time_s)
    return fixed + b"".join(map(_pack_answer, frame.parts))


def _pack_answer(answer: f.RegAck) -> bytes:
    octets, way = _octets(answer.bitmap), answer.head.path[1:]
    fixed = _ANSWER.pack(
        answer.head.dseq,
        answer.reg_fseq,
        answer.life,
        answer.status,
        answer.lifetime_s,
        answer.high_water,
        len(way),
        octets,
    )
    return fixed + struct.pack(f">{len(way)}I", *way) + answer.bitmap.to_bytes(octets, "big")


def _decode_regacks(body: bytes) -> f.RegAcks:
    fixed, offset = _REGACKS.unpack_from(body), _REGACKS.size
    parts: list[f.RegAck] = []
    while offset < len(body):
        answer, offset = _answer_at(body, offset, fixed)
        parts.append(answer)
    _require(len(parts) > 1)
    return f.RegAcks(tuple(parts))


def _answer_at(
    body: bytes, offset: int, fixed: tuple[int, int, int, int, int]
) -> tuple[f.RegAck, int]:
    """Return the answer at an offset, and where the next one begins."""
    origin, here, hop_limit, age_s, time_s = fixed
    dseq, reg_fseq, life, status, lifetime_s, high_water, hops, octets = _ANSWER.unpack_from(
        body, offset
    )
    offset += _ANSWER.size
    path = (here, *struct.unpack_from(f">{hops}I", body, offset))
    _require_path(origin, path)
    offset += 4 * hops
    bitmap = int.from_bytes(body[offset : offset + octets], "big")
    offset += octets
    _require(octets <= _BITMAP_MAX_BYTES and octets == _octets(bitmap) and offset <= len(body))
    head = f.DownHead(origin, dseq, hop_limit, age_s, 0, path)
    answer = f.RegAck(head, reg_fseq, life, status, lifetime_s, high_water, bitmap, time_s)
    return answer, offset


def _encode_hack(frame: f.Hack) -> bytes:
    body = _HACK.pack(frame.lseq, frame.status) + _pack_tag(frame.tag)
    if frame.status == f.HackStatus.RESYNC:
        body += _ID.pack(frame.counter)
    return body


def _decode_hack(body: bytes) -> f.Hack:
    lseq, number = _HACK.unpack_from(body)
    _require(number in _HACK_STATUSES)
    status = f.HackStatus(number)
    tag = _tag_at(body, _HACK.size)
    rest = body[_HACK.size + _TAG.size :]
    if status != f.HackStatus.RESYNC:
        _require(not rest)
        return f.Hack(lseq, status, tag)
    return f.Hack(lseq, status, tag, *_ID.unpack(rest))


def _encode_join(frame: f.Join) -> bytes:
    return _JOIN.pack(frame.stage, frame.eui64) + frame.blob


def _decode_join(body: bytes) -> f.Join:
    _require(len(body) > 0 and body[0] in _JOIN_STAGES)
    return f.Join(body[0], *_join_at(body, 1))


def _encode_vouch(frame: f.Vouch) -> bytes:
    return _pack_up(frame.head) + _EUI.pack(frame.eui64) + frame.blob


def _decode_vouch(body: bytes) -> f.Vouch:
    return f.Vouch(_up_head(body), *_join_at(body, _UPHEAD.size))


def _encode_admit(frame: f.Admit) -> bytes:
    return _pack_down(frame.head) + _EUI.pack(frame.eui64) + frame.blob


def _decode_admit(body: bytes) -> f.Admit:
    head, offset = _down_head(body)
    return f.Admit(head, *_join_at(body, offset))


def _join_at(body: bytes, offset: int) -> tuple[int, bytes]:
    (eui64,) = _EUI.unpack_from(body, offset)
    blob = body[offset + _EUI.size :]
    _require(len(blob) <= c.JOIN_BLOB_MAX)
    return eui64, blob


def _encode_probe(_frame: f.Probe) -> bytes:
    return b""


def _decode_probe(body: bytes) -> f.Probe:
    _require(not body)
    return f.Probe()


_REPORT_STATUSES: Final = frozenset(f.ReportStatus)
_HACK_STATUSES: Final = frozenset(f.HackStatus)
_JOIN_STAGES: Final = frozenset(f.JoinStage)

_ENCODERS: Final[dict[type, tuple[f.FrameType, Callable[..., bytes]]]] = {
    f.Adv: (f.FrameType.ADV, _encode_adv),
    f.Sol: (f.FrameType.SOL, _encode_sol),
    f.Reg: (f.FrameType.REG, _encode_reg),
    f.RegAck: (f.FrameType.REGACK, _encode_regack),
    f.RegAcks: (f.FrameType.REGACKS, _encode_regacks),
    f.Up: (f.FrameType.UP, _encode_up),
    f.Down: (f.FrameType.DOWN, _encode_down),
    f.Hack: (f.FrameType.HACK, _encode_hack),
    f.Report: (f.FrameType.REPORT, _encode_report),
    f.Join: (f.FrameType.JOIN, _encode_join),
    f.Probe: (f.FrameType.PROBE, _encode_probe),
    f.Outage: (f.FrameType.OUTAGE, _encode_outage),
    f.Vouch: (f.FrameType.VOUCH, _encode_vouch),
    f.Admit: (f.FrameType.ADMIT, _encode_admit),
}
_DECODERS: Final[dict[int, Callable[[bytes], f.Frame]]] = {
    f.FrameType.ADV: _decode_adv,
    f.FrameType.SOL: _decode_sol,
    f.FrameType.REG: _decode_reg,
    f.FrameType.REGACK: _decode_regack,
    f.FrameType.REGACKS: _decode_regacks,
    f.FrameType.UP: _decode_up,
    f.FrameType.DOWN: _decode_down,
    f.FrameType.HACK: _decode_hack,
    f.FrameType.REPORT: _decode_report,
    f.FrameType.JOIN: _decode_join,
    f.FrameType.PROBE: _decode_probe,
    f.FrameType.OUTAGE: _decode_outage,
    f.FrameType.VOUCH: _decode_vouch,
    f.FrameType.ADMIT: _decode_admit,
}
