"""Steps for one mesh station out of any bytes: what it hears, when it wakes, how its clock jumps.

A step is one octet of kind, one of length, and that many octets. Half of the steps are dressed as
frames with a header that fits and a seal that the station believes, so that the fuzzer gets behind
them; the rest is as it comes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ohmesh.mesh import Station, StationConfig, Transmit
from ohmesh.mesh import constants as c
from ohmesh.mesh.sealing import StubSealer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ohmesh.mesh import Output

NODE, NET = 9, 1
STORE_MAX = 20
_KINDS = 8
_CLOCK_STEP_MS = 250


def hear_anything(octets: bytes) -> None:
    """Let a meter and a root live through the steps; both must keep their bounds."""
    for is_root in (False, True):
        config = StationConfig(
            node=NODE, net=NET, is_root=is_root, epoch=5, store_limit=STORE_MAX, timer_divisor=20
        )
        station = Station(config, random.Random(1), sealer=StubSealer())  # noqa: S311 - jitter, not a secret
        _live(station, octets, is_root=is_root)
        sizes = station.sizes()
        assert sizes["store"] <= STORE_MAX
        assert sizes["queue"] <= c.ROOT_QUEUE_MAX + c.RELAY_QUEUE_MAX
        assert sizes["roots"] <= c.ROOTS_MAX
        assert sizes["peers"] <= c.ROOT_LINK_PEERS_MAX


def _live(station: Station, octets: bytes, *, is_root: bool) -> None:
    now_ms, at = 0, 0
    _check(station.start(now_ms))
    while at + 1 < len(octets):
        kind, length = octets[at] % _KINDS, octets[at + 1]
        rest = octets[at + 2 : at + 2 + length]
        at += 2 + length
        if kind == 0:
            now_ms = int.from_bytes(rest[:5], "big", signed=True)
        elif kind == 1 and rest and not is_root:
            _check(station.submit(now_ms, rest[: c.MAX_PAYLOAD_BYTES]))
        elif kind == 2:
            _check(station.receive(now_ms, rest, -80))
        else:
            now_ms += _CLOCK_STEP_MS
            _check(station.receive(now_ms, _dressed(rest), -80))
        _check(station.wake(now_ms))


def _dressed(rest: bytes) -> bytes:
    """Type, source and broadcast by the first octet, counter by the second, then the body."""
    first, counter = (*rest[:2], 0, 0)[:2]
    src = 1 + (first >> 5)
    dst = c.BROADCAST if first & 0x10 else NODE
    header = bytes([c.PROTOCOL_VERSION << 4 | first & 0xF, 0]) + NET.to_bytes(2, "big")
    header += src.to_bytes(4, "big") + dst.to_bytes(4, "big") + b"\0" + counter.to_bytes(4, "big")
    return header + rest[2 : 2 + c.MAX_BODY_BYTES] + bytes(c.MIC_BYTES)


def _check(outputs: Iterable[Output]) -> None:
    assert all(len(o.frame) <= c.MTU_BYTES for o in outputs if isinstance(o, Transmit))
