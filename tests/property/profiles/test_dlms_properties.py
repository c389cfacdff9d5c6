"""DLMS sessions against garbage, and values of any length against any block size."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms import acse, apdu_wire
from firmware_profiles.codecs.dlms.acse import Context, Initiate, Mechanism
from firmware_profiles.codecs.dlms.apdu import Target
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.link import ClientLink, ServerLink, address
from firmware_profiles.codecs.dlms.objects.measure import data
from firmware_profiles.codecs.dlms.security import open_general, seal_general
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from ohmesh.model.errors import DecodeError
from ohmesh.model.obis import Obis

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
NOTE = Target(1, Obis.parse("0-0:96.13.0"), 2)


def server(pdu_max=1024):
    settings = ServerSettings(
        keys=KEYS,
        title=b"OHM\0\0\0\0\2",
        challenge=lambda: b"server challenge",
        pdu_max=pdu_max,
        password=b"12345678",
    )
    return Server([data(NOTE.obis, axdr.octets(b""), writable=True, public=True)], settings)


@given(st.binary(max_size=6000), st.integers(128, 3000), st.integers(32, 2030))
def test_values_of_any_length_go_there_and_back(content, pdu_max, size):
    meter = server(pdu_max)
    far = ServerLink(
        address(1), lambda apdu: meter.receive(apdu, NOW), meter.disconnected, size=size
    )
    near = ClientLink(address(1), address(1))
    run(near.connect(), far.receive)

    def line(apdu):
        return run(near.transfer(apdu), far.receive)

    client = Client(
        ClientSettings(
            Mechanism.HIGH_GMAC,
            keys=KEYS,
            title=b"OHC\0\0\0\0\1",
            control=0x30,
            challenge=b"client challenge",
        )
    )
    run(client.associate(), line)
    run(client.set(NOTE, axdr.octets(content)), line)
    assert run(client.get(NOTE), line) == content


@given(st.lists(st.binary(max_size=120), max_size=5), st.sampled_from(Mechanism))
def test_a_meter_answers_any_bytes(messages, mechanism):
    meter = server()
    if mechanism is Mechanism.LOW:
        run(
            Client(ClientSettings(Mechanism.LOW, b"12345678")).associate(),
            lambda apdu: meter.receive(apdu, NOW),
        )
    for message in messages:
        for head in (b"", b"\xc0", b"\xc1\x01\xc1", b"\x60", b"\xc8", b"\x62"):
            assert meter.receive(head + message, NOW)


@given(st.binary(max_size=200), st.sampled_from([0x60, 0x61, 0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7]))
def test_any_bytes_are_an_apdu_or_a_decode_error(content, tag):
    for parse in (
        acse.parse_aarq,
        acse.parse_aare,
        acse.parse_initiate,
        apdu_wire.parse_request,
        apdu_wire.parse_response,
    ):
        for message in (content, bytes((tag,)) + content, bytes((tag, 1, 0xC1)) + content):
            try:
                parse(message)
            except DecodeError:
                continue


@given(
    st.sampled_from(Context),
    st.sampled_from(Mechanism),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=1, max_size=64),
    st.binary(min_size=1, max_size=300),
)
def test_association_requests_come_back(context, mechanism, title, value, user):
    value = b"" if mechanism is Mechanism.NONE else value
    wanted = acse.AssociationRequest(context, mechanism, title, value, user)
    assert acse.parse_aarq(wanted.to_bytes()) == wanted


@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFF), st.binary(max_size=16))
def test_initiates_come_back(conformance, pdu_max, key):
    wanted = Initiate(conformance, pdu_max, key)
    assert acse.parse_initiate(wanted.request_bytes()) == wanted
    assert acse.parse_initiate(wanted.response_bytes()) == Initiate(conformance, pdu_max)


@given(
    st.binary(max_size=400),
    st.sampled_from([0x00, 0x10, 0x20, 0x30, 0x31]),
    st.integers(0, 0xFFFFFFFF),
)
def test_sealed_apdus_open(plain, control, counter):
    sealed = seal_general(b"OHM\0\0\0\0\2", plain, KEYS, control=control, counter=counter)
    keys = KEYS if control & 0x10 else Keys(KEYS.unicast)
    opened = open_general(sealed, keys)
    assert (opened.apdu, opened.counter, opened.control) == (plain, counter, control)
