"""The fuzz target of the mesh, quickly: any steps end in outputs and keep the bounds."""

import importlib.util
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ohmesh.mesh import codec
from ohmesh.mesh.frames import Adv, Hack, HackStatus, Probe, Reg, Sol, Tag, UpHead

_PATH = Path(__file__).resolve().parents[3] / "fuzz" / "mesh.py"
_SPEC = importlib.util.spec_from_file_location("fuzz_mesh", _PATH)
FUZZ = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(FUZZ)

TAG = Tag(1, 9, 1, 128, 0, 3, 0)
FRAMES = [
    Adv(TAG, 1, 4, 0, 1_750_000_000),
    Sol(1, 1, 9, 1),
    Hack(1, HackStatus.OK, TAG),
    Probe(),
    Reg(UpHead(3, 7, 1, 300, 60, 0, 3), 5, 7_200, 1, ((2, 128),)),
]


def step(frame, src, counter, *, broadcast):
    kind, body = codec.encode(frame)
    rest = bytes([(src - 1) << 5 | broadcast << 4 | kind, counter]) + body
    return bytes([7, len(rest)]) + rest


@settings(max_examples=100)
@given(st.binary(max_size=2_000))
def test_any_bytes_as_steps(octets):
    FUZZ.hear_anything(octets)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_steps_near_real_frames(seed, count):
    chance = random.Random(seed)
    octets = bytearray()
    for number in range(count):
        frame, src = chance.choice(FRAMES), chance.randint(1, 8)
        octets += step(frame, src, number, broadcast=chance.random() < 0.5)
    for _ in range(chance.randint(0, 9)):
        octets[chance.randrange(len(octets))] ^= chance.randint(1, 255)
    FUZZ.hear_anything(bytes(octets))


def test_steps_get_behind_the_seal():
    """A target whose frames are all refused would find nothing."""
    station = FUZZ.Station(
        FUZZ.StationConfig(node=FUZZ.NODE, net=FUZZ.NET, is_root=False, epoch=0),
        random.Random(1),
        sealer=FUZZ.StubSealer(),
    )
    station.start(0)
    station.receive(1, FUZZ._dressed(step(FRAMES[0], 1, 1, broadcast=True)[2:]), -80)
    assert station.sizes()["neighbours"] == 1
