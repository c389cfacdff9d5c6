"""Any frame survives its bytes; any bytes give a frame or one typed error."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ohmesh.mesh import FrameRejected, Station, StationConfig, Transmit, codec
from ohmesh.mesh import frames as f
from ohmesh.mesh.errors import FrameError
from ohmesh.mesh.sealing import ChecksumSealer
from ohmesh.mesh.testing import World

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
NODE = st.integers(1, 0xFFFFFFFE)
TAGS = st.builds(f.Tag, U32, U32, U16, U16, U8, U8, U8)
UPS = st.builds(f.UpHead, NODE, U32, U32, U16, U8, U16, U8)


@st.composite
def downs(draw):
    path = tuple(draw(st.lists(NODE, min_size=1, max_size=12, unique=True)))
    origin = draw(NODE.filter(lambda node: node not in path))
    index = draw(st.integers(0, len(path) - 1))
    return f.DownHead(origin, draw(U32), draw(U8), draw(U16), index, path)


@st.composite
def up_frames(draw):
    sizes = draw(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
    steps = draw(st.lists(st.integers(1, 60), min_size=len(sizes), max_size=len(sizes)))
    oseq = draw(st.integers(0, 0xFFFFFF00))
    records = []
    for payload, step in zip(sizes, steps, strict=True):
        records.append(f.Record(oseq, draw(U16), payload))
        oseq += step
    return f.Up(draw(UPS), draw(U16), tuple(records))


@st.composite
def regs(draw):
    head = draw(UPS)
    parents = draw(
        st.lists(
            st.tuples(NODE.filter(lambda n: n != head.origin), st.integers(32, 255)),
            min_size=1,
            max_size=3,
        )
    )
    pairs = tuple((node, step * 4) for node, step in parents)
    lifetime_s, floor = draw(st.integers(1, 0xFFFF)), draw(st.integers(1, 0xFFFFFFFF))
    return f.Reg(head, draw(U16), lifetime_s, floor, pairs)


@st.composite
def answers(draw):
    """Answers that share a frame: one root, one next hop, one age; each its own way from there."""
    root, here, *_ = draw(st.lists(NODE, min_size=2, max_size=2, unique=True))
    hop_limit, age_s, time_s = draw(U8), draw(U16), draw(U32)
    ways = st.lists(NODE.filter(lambda node: node not in (root, here)), max_size=6, unique=True)
    parts = [
        f.RegAck(
            f.DownHead(root, draw(U32), hop_limit, age_s, 0, (here, *way)),
            draw(U32),
            draw(U16),
            draw(U8),
            draw(U16),
            draw(U32),
            draw(U64),
            time_s,
        )
        for way in draw(st.lists(ways, min_size=2, max_size=4))
    ]
    return f.RegAcks(tuple(parts))


HACKS = st.one_of(
    st.builds(f.Hack, U16, st.sampled_from([s for s in f.HackStatus if s != 6]), TAGS),
    st.builds(f.Hack, U16, st.just(f.HackStatus.RESYNC), TAGS, U32),
)
FRAMES = st.one_of(
    st.builds(f.Adv, TAGS, U8, U8, U8, U32),
    st.builds(f.Sol, U8, U32, U32, U16),
    regs(),
    up_frames(),
    st.builds(f.Report, UPS, st.sampled_from(f.ReportStatus), U32, U32, U32),
    st.builds(f.Outage, UPS, st.lists(U32, min_size=1, max_size=32).map(tuple)),
    st.builds(f.Down, downs(), st.binary(max_size=160)),
    st.builds(f.RegAck, downs(), U32, U16, U8, U16, U32, U64, U32),
    answers(),
    HACKS,
    st.builds(f.Join, st.sampled_from(f.JoinStage), U64, st.binary(max_size=120)),
    st.builds(f.Vouch, UPS, U64, st.binary(max_size=120)),
    st.builds(f.Admit, downs(), U64, st.binary(max_size=120)),
    st.just(f.Probe()),
)


@given(FRAMES)
def test_round_trip(frame):
    kind, body = codec.encode(frame)
    assert codec.decode(kind, body) == frame


@given(st.integers(0, 255), st.binary(max_size=260))
def test_any_body_gives_a_frame_or_a_frame_error(kind, body):
    try:
        frame = codec.decode(kind, body)
    except FrameError:
        return
    assert codec.encode(frame) == (kind, body)


def _sealed(net, kind, src, dst, counter, body):
    header = (
        bytes([0x10 | kind, 0])
        + net.to_bytes(2, "big")
        + src.to_bytes(4, "big")
        + dst.to_bytes(4, "big")
        + b"\0"
        + counter.to_bytes(4, "big")
    )
    return header + body + ChecksumSealer().seal(header + body, 0)


STEPS = st.one_of(
    st.tuples(st.just("raw"), st.binary(max_size=300)),
    st.tuples(
        st.just("frame"),
        st.tuples(
            FRAMES, st.sampled_from([1, 2, 3, 0xFFFFFFFF]), st.sampled_from([9, 0xFFFFFFFF]), U32
        ),
    ),
    st.tuples(st.just("wake"), st.integers(-(10**6), 10**10)),
    st.tuples(st.just("submit"), st.binary(min_size=1, max_size=160)),
)


@settings(max_examples=60)
@given(st.booleans(), st.lists(STEPS, max_size=60), st.integers(0, 5))
def test_a_station_survives_anything_and_stays_bounded(is_root, steps, seed):
    config = StationConfig(node=9, net=1, is_root=is_root, epoch=5, store_limit=50)
    station = Station(config, random.Random(seed))
    now = 0
    station.start(now)
    for what, value in steps:
        if what == "raw":
            assert all(
                isinstance(output, FrameRejected) for output in station.receive(now, value, -80)
            )
        elif what == "frame":
            frame, src, dst, counter = value
            kind, body = codec.encode(frame)
            station.receive(now, _sealed(1, kind, src, dst, counter, body), -80)
        elif what == "wake":
            now = max(0, now + value)
            station.wake(now)
        elif not is_root:
            station.submit(now, value)
        for output in station.wake(now):
            if isinstance(output, Transmit):
                assert len(output.frame) <= 255
    sizes = station.sizes()
    assert sizes["store"] <= 50
    assert sizes["queue"] <= 64 + 16
    assert sizes["roots"] <= 4


@settings(max_examples=15)
@given(st.lists(st.tuples(st.booleans(), FRAMES, st.booleans()), max_size=25), st.integers(0, 3))
def test_lies_of_a_trusted_neighbour_raise_nothing(lies, seed):
    """Frames with a right seal from known ids, into a meter and a root that have joined."""
    world = World(seed)
    for node in (1, 101, 102):
        is_root = node == 1
        world.add(StationConfig(node=node, net=1, is_root=is_root, epoch=9, timer_divisor=20))
    world.link(1, 101)
    world.link(101, 102)
    world.boot_all(100)
    world.run(20_000)
    for number, (upward, frame, broadcast) in enumerate(lies):
        src, victim = (101, 1) if upward else (1, 101)
        kind, body = codec.encode(frame)
        dst = 0xFFFFFFFF if broadcast else victim
        world.inject(victim, _sealed(1, kind, src, dst, 10_000 + number, body))
        world.run(world.now_ms + 300)
        world.submit(102, b"reading")
    world.run(world.now_ms + 60_000)
