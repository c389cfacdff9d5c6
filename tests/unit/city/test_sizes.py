"""Frame sizes without octets are those of the codec."""

import pytest

from meter_sim.city.sizes import HACK_BYTES, size_of
from ohmesh.mesh import codec
from ohmesh.mesh import frames as f
from ohmesh.mesh.constants import HEADER_BYTES, MIC_BYTES

UP = f.UpHead(1, 2, 3, 4, 5, 6, 0)
DOWN = f.DownHead(1, 2, 3, 4, 0, (5, 6, 7))
FRAMES = [
    f.Adv(f.NO_TAG, 0, 0, 0, 0),
    f.Sol(0, 1, 2, 3),
    f.Up(UP, 7, (f.Record(1, 0, b"abc"), f.Record(2, 0, b"defgh"))),
    f.Reg(UP, 7, 7200, 1, ((1, 128), (2, 256))),
    f.Report(UP, 0, 1, 2, 3),
    f.Outage(UP, (1, 2, 3)),
    f.Down(DOWN, b"close"),
    f.RegAck(DOWN, 1, 2, 0, 7200, 3, 4, 5),
    f.RegAcks(
        (
            f.RegAck(DOWN, 1, 2, 0, 7200, 3, 4, 5),
            f.RegAck(f.DownHead(1, 9, 3, 4, 0, (5,)), 1, 2, 0, 7200, 3, 1 << 63, 5),
        )
    ),
    f.Join(0, 1, b"blob"),
    f.Probe(),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_as_the_codec_says(frame):
    kind, body = codec.encode(frame)
    assert size_of(frame) == (kind, HEADER_BYTES + len(body) + MIC_BYTES)


def test_an_acknowledgement_too():
    _, body = codec.encode(f.Hack(1, f.HackStatus.OK, f.NO_TAG))
    assert HEADER_BYTES + len(body) + MIC_BYTES == HACK_BYTES
