"""MQTT packets: any chunking gives the same; any bytes give packets or a WireError."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ohmesh.model.errors import WireError
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
