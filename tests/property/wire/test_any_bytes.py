"""Any bytes end in a message or in a WireError; any message comes back."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from ohmesh.model.errors import BadChecksum, WireError
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import air, downlink, report, uplink
from ohmesh.wire.metercommand import decode_command, decode_result
from ohmesh.wire.sealed import SealedKind, seal, unseal

DECODERS = (
    uplink.decode_batch,
    uplink.decode_ack,
    downlink.decode_down,
    report.decode_delivery,
    report.decode_power,
    report.decode_topology,
    air.decode_heard,
    air.decode_hello,
    decode_command,
    decode_result,
    lambda octets: unseal(bytes(16), "m", octets),
)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
TELEGRAMS = st.builds(
    Telegram,
    st.sampled_from(TelegramKind),
    IDS,
    IDS,
    st.from_regex(r"[a-z0-9_]{0,20}", fullmatch=True),
    st.integers(0, 2**45),
    st.binary(max_size=300),
)


@given(st.binary(max_size=400), st.sampled_from(DECODERS), st.booleans())
@settings(max_examples=2000)
def test_any_bytes(octets, decode, headed):
    with contextlib.suppress(WireError):
        decode(b"\x01\x00" + octets if headed else octets)


@given(
    IDS, st.integers(0, 2**62), st.integers(0, 2**62), st.lists(TELEGRAMS, min_size=1, max_size=20)
)
def test_batches_come_back(gateway, epoch, first_seq, telegrams):
    octets = uplink.encode_batch(gateway, epoch, first_seq, telegrams)
    batch = uplink.decode_batch(octets)
    assert batch.telegrams() == telegrams
    assert (batch.gateway, batch.epoch, batch.first_seq) == (gateway, epoch, first_seq)


@given(st.lists(TELEGRAMS, min_size=1, max_size=30), st.data())
def test_a_cut_batch_is_never_taken_for_a_whole_one(telegrams, data):
    octets = uplink.encode_batch("gw", 1, 0, telegrams)
    cut = data.draw(st.integers(0, len(octets) - 1))
    try:
        uplink.decode_batch(octets[:cut])
    except WireError:
        return
    raise AssertionError(f"accepted {cut} of {len(octets)} bytes")


@given(
    st.binary(min_size=16, max_size=16),
    st.sampled_from(SealedKind),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=160),
    st.data(),
)
def test_one_flipped_bit_breaks_the_seal(key, kind, counter, body, data):
    octets = seal(key, "meter-1", kind, counter, body)
    opened = unseal(key, "meter-1", octets)
    assert (opened.kind, opened.counter, opened.body) == (kind, counter, body)
    bit = data.draw(st.integers(8, len(octets) * 8 - 1))
    broken = bytearray(octets)
    broken[bit // 8] ^= 1 << bit % 8
    try:
        unseal(key, "meter-1", bytes(broken))
    except BadChecksum:
        return
    raise AssertionError(f"bit {bit} was flipped unnoticed")
