"""MQTT packets: any chunking gives the same; any bytes give packets or a WireError."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmesh.model.errors import Oversize, WireError
from ohmesh.wire import mqtt5
from ohmesh.wire.mqtt5 import Answer, PacketReader, Publish

MESSAGES = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
        st.binary(max_size=300),
        st.sampled_from([0, 1, 4, 5]),
        st.integers(1, 65_535),
    ),
    max_size=8,
)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_publish_comes_back_in_any_chunks(messages, cuts):
    stream = b"".join(mqtt5.publish(t.encode(), p, f, n) for t, p, f, n in messages)
    reader, found, start = PacketReader(), [], 0
    for end in [*sorted(cuts), len(stream)]:
        found += reader.feed(stream[start:end])
        start = max(start, end)
    assert found == [Publish(t, p, f, n if f & 1 else 0) for t, p, f, n in messages]


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_give_packets_or_a_wire_error(chunks):
    reader = PacketReader()
    with suppress(WireError):
        for chunk in chunks:
            reader.feed(chunk)


def test_a_connack_tells_how_many_may_be_under_way():
    # OASIS MQTT 5.0, 3.2: topic alias maximum 10, receive maximum 20, assigned name "abc".
    properties = bytes.fromhex("22000a 210014 120003616263")
    body = b"\x00\x00" + bytes((len(properties),)) + properties
    octets = b"\x20" + bytes((len(body),)) + body
    assert PacketReader().feed(octets) == [Answer(2, 0, 0, 20)]


def test_refusals_are_read():
    assert PacketReader().feed(b"\x40\x04\x00\x07\x97\x00") == [Answer(4, 7, 0x97)]
    assert PacketReader().feed(b"\x90\x05\x00\x01\x00\x01\x87") == [Answer(9, 1, 0x87)]


PROPERTIES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=1).map(lambda octet: b"\x01" + octet),
        st.binary(min_size=4, max_size=4).map(lambda octets: b"\x02" + octets),
        st.binary(max_size=200).map(lambda octets: b"\x09" + len(octets).to_bytes(2) + octets),
        st.binary(max_size=90).map(lambda o: b"\x26" + 2 * (len(o).to_bytes(2) + o)),
    ),
    max_size=4,
).map(b"".join)


def with_properties(octets: bytes, properties: bytes) -> bytes:
    """The QoS 1 PUBLISH `octets` of the topic `t`, its empty properties replaced."""
    body = octets[len(octets) - octets[1] :]
    assert body[5] == 0
    body = body[:5] + varint(len(properties)) + properties + body[6:]
    return octets[:1] + varint(len(body)) + body


def varint(number: int) -> bytes:
    octets = b""
    while number > 0x7F:
        octets, number = octets + bytes((number & 0x7F | 0x80,)), number >> 7
    return octets + bytes((number,))


@given(properties=PROPERTIES, payload=st.binary(max_size=100), cut=st.integers(0, 1000))
def test_properties_are_passed_over(properties, payload, cut):
    octets = with_properties(mqtt5.publish(b"t", payload, 1, 5), properties)
    reader = PacketReader()
    found = reader.feed(octets[:cut]) + reader.feed(octets[cut:]) + reader.feed(mqtt5.PINGREQ)
    assert found[0] == Publish("t", payload, 1, 5)
    assert len(found) == 2


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 3_000_000])
@pytest.mark.parametrize("chunk", [1460, 1 << 18])
def test_every_width_of_the_length_is_read(size, chunk):
    """Remaining lengths at the edges of one, two, three and four bytes (1.5.5, table 1-1)."""
    octets = mqtt5.publish(b"t", bytes(size - 4), 0, 0)
    stream = octets + mqtt5.publish(b"t", b"next", 0, 0)
    reader, found = PacketReader(), []
    for at in range(0, len(stream), chunk):
        found += reader.feed(stream[at : at + chunk])
    assert [len(packet.payload) for packet in found] == [size - 4, 4]


def test_a_packet_that_is_too_large_is_refused_by_its_length():
    with pytest.raises(Oversize):
        PacketReader(1000).feed(b"\x30\xe9\x07")


@given(octets=st.binary(min_size=2, max_size=80), cuts=st.lists(st.integers(0, 80), max_size=4))
def test_hostile_bytes_end_alike_in_any_chunks(octets, cuts):
    """The same packets before the same end: bytes are never read beyond their packet."""

    def outcome(chunks):
        reader, found = PacketReader(), []
        try:
            for chunk in chunks:
                found += reader.feed(chunk)
        except WireError:
            return "refused"
        return found

    edges = [0, *sorted(cut for cut in cuts if cut < len(octets)), len(octets)]
    chunks = [octets[a:b] for a, b in itertools.pairwise(edges)]
    assert outcome(chunks) == outcome([octets])
