"""Golden vectors: these bytes are in the field; a change here is a new version byte and an ADR."""

import pytest
import zstandard

from ohmesh.model.command import Command, CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.errors import (
    BadChecksum,
    Malformed,
    Oversize,
    Truncated,
    UnknownVersion,
    WireError,
)
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import envelope, topics
from ohmesh.wire.downlink import DownMessage, decode_down, encode_down
from ohmesh.wire.metercommand import (
    BODY_MAX_BYTES,
    decode_command,
    decode_result,
    encode_command,
    encode_result,
)
from ohmesh.wire.report import (
    DeliveryReport,
    DeliveryStatus,
    PowerReport,
    Route,
    TopologyReport,
    decode_delivery,
    decode_power,
    decode_topology,
    encode_report,
)
from ohmesh.wire.sealed import Opened, SealedKind, seal, unseal
from ohmesh.wire.uplink import (
    MAX_TELEGRAM_BYTES,
    MAX_TELEGRAMS,
    Again,
    decode_ack,
    decode_batch,
    encode_ack,
    encode_batch,
)

ID = bytes(range(16))
KEY = bytes(range(16))
TELEGRAM = Telegram(
    TelegramKind.METER, "mesh", "mesh-0000002a", "nl_dsmr", 1767225600000, b"\x01\x02"
)
BATCH = (
    "010094a36777310703919600a46d657368ad6d6573682d3030303030303261"
    "a76e6c5f64736d72cf0000019b76daa800c4020102"
)


def test_batch():
    assert encode_batch("gw1", 7, 3, [TELEGRAM]).hex() == BATCH
    batch = decode_batch(bytes.fromhex(BATCH))
    assert (batch.gateway, batch.epoch, batch.first_seq, batch.end_seq) == ("gw1", 7, 3, 4)
    assert batch.telegrams() == [TELEGRAM]


def test_ack():
    assert encode_ack(7, 4).hex() == "0100920704"
    ack = decode_ack(bytes.fromhex("0100920704"))
    assert (ack.epoch, ack.through) == (7, 4)


def test_a_batch_tells_what_its_gateway_believes_committed():
    octets = encode_batch("gw1", 7, 3, [TELEGRAM], acked=2)
    assert octets.hex() == BATCH.replace("010094", "010095", 1) + "02"
    assert decode_batch(octets).acked == 2
    assert decode_batch(bytes.fromhex(BATCH)).acked == 0


def test_an_acknowledgement_that_asks_again():
    assert encode_ack(7, 4, Again.FROM_HERE).hex() == "010093070401"
    assert encode_ack(7, 0, Again.ALL).hex() == "010093070002"
    assert decode_ack(bytes.fromhex("010093070401")).again is Again.FROM_HERE
    assert decode_ack(bytes.fromhex("0100920704")).again is Again.NOTHING


def test_downlink():
    message = DownMessage(ID, "mesh-0000002a", 1767225600, 3, b"\xaa\xbb")
    octets = encode_down(message)
    assert octets.hex() == (
        "010097c410000102030405060708090a0b0c0d0e0fad6d6573682d3030303030303261ce6955b90003c402aabb"
        "c40090"
    )
    assert decode_down(octets) == message
    older = bytes.fromhex(
        "010095c410000102030405060708090a0b0c0d0e0fad6d6573682d3030303030303261ce6955b90003c402aabb"
    )
    assert decode_down(older) == message


def test_reports():
    delivery = DeliveryReport(ID, DeliveryStatus.NO_ROUTE, "x")
    assert encode_report(delivery).hex() == "010093c410000102030405060708090a0b0c0d0e0f01a178"
    assert decode_delivery(encode_report(delivery)) == delivery
    topology = TopologyReport(1, [Route(42, 1, 150, 1)])
    assert encode_report(topology).hex() == "0100920191942a01cc9601"
    assert decode_topology(encode_report(topology)) == topology
    power = PowerReport(restored=False, nodes=[42])
    assert encode_report(power).hex() == "010092c2912a"
    assert decode_power(encode_report(power)) == power


def test_seal():
    octets = seal(KEY, "mesh-0000002a", SealedKind.REPORT, 5, b"hello")
    assert octets.hex() == "110000000502b24466f1953c7d1971ee171a"
    assert unseal(KEY, "mesh-0000002a", octets) == Opened(SealedKind.REPORT, 5, b"hello")


def test_meter_command_and_result():
    command = Command(ID, CommandKind.RELAY_OFF, 9, 1767225600, 0)
    assert encode_command(command).hex() == (
        "000102030405060708090a0b0c0d0e0f0100000009006955b90000000000000000"
    )
    assert decode_command(encode_command(command)) == command
    result = CommandResult(ID, ResultStatus.OK, RelayState.DISCONNECTED, 1767225600)
    assert encode_result(result).hex() == "000102030405060708090a0b0c0d0e0f0000006955b900"
    assert decode_result(encode_result(result)) == result


def test_a_long_batch_is_compressed_and_comes_back():
    telegrams = [TELEGRAM] * MAX_TELEGRAMS
    octets = encode_batch("gw1", 7, 0, telegrams)
    assert octets[1] == 1
    assert len(octets) < 50_000
    assert decode_batch(octets).telegrams() == telegrams


def test_a_reader_ignores_fields_that_a_newer_writer_adds():
    octets = bytes.fromhex("010094070400a3") + b"new"
    assert decode_ack(octets).through == 4


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"", Truncated),
        (b"\x01", Truncated),
        (b"\x02\x00\x92\x07\x04", UnknownVersion),
        (b"\x01\x02\x92\x07\x04", Malformed),
        (b"\x01\x00\x92\x07", Truncated),
        (b"\x01\x00\x93", Truncated),
        (b"\x01\x00\xff", Malformed),
        (b"\x01\x00\x92\x07\xff", Malformed),  # a negative number
        (b"\x01\x00\x92\xa1x\x04", Malformed),
        (b"\x01\x00\x92\xa1\x80\x04", Malformed),  # not UTF-8
        (b"\x01\x00\x93\x07\x04" + b"\x91" * 100_000, Malformed),  # nested without end
        (b"\x01\x01not zstd", Malformed),
        (b"\x01\x00" + bytes(envelope.MAX_BODY_BYTES + 1), Oversize),
    ],
)
def test_bytes_that_are_no_ack(octets, error):
    with pytest.raises(error):
        decode_ack(octets)


def test_a_zstd_bomb_is_refused_by_its_declared_size():
    bomb = zstandard.ZstdCompressor().compress(bytes(200_000_000))
    with pytest.raises(Oversize):
        decode_batch(b"\x01\x01" + bomb)


def test_a_zstd_frame_without_declared_size_is_refused():
    stream = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 5000)
    with pytest.raises(WireError):
        decode_batch(b"\x01\x01" + stream)


@pytest.mark.parametrize("count", [0, MAX_TELEGRAMS + 1])
def test_a_batch_has_its_bounds(count):
    with pytest.raises(Malformed):
        decode_batch(encode_batch("gw1", 7, 0, [TELEGRAM] * count))


def test_an_oversize_telegram_is_refused():
    fat = Telegram(TelegramKind.METER, "p1", "m1", "", 0, bytes(MAX_TELEGRAM_BYTES + 1))
    with pytest.raises(Malformed):
        decode_batch(encode_batch("gw1", 7, 0, [fat]))


def test_a_sequence_does_not_run_out_of_63_bits():
    with pytest.raises(Malformed):
        decode_batch(encode_batch("gw1", 7, 2**63 - 1, [TELEGRAM]))


@pytest.mark.parametrize("gateway", ["", "a/b", "+", "#", "x" * 65, "a b"])
def test_a_gateway_id_with_a_meaning_in_topics_is_refused(gateway):
    with pytest.raises(Malformed):
        decode_batch(encode_batch(gateway, 7, 0, [TELEGRAM]))


def test_a_seal_fits_one_meter_one_direction_one_key():
    octets = seal(KEY, "mesh-0000002a", SealedKind.REPORT, 5, b"hello")
    for key, address in ((bytes(16), "mesh-0000002a"), (KEY, "mesh-0000002b")):
        with pytest.raises(BadChecksum):
            unseal(key, address, octets)
    with pytest.raises(BadChecksum):  # the same bytes claimed to be a command down
        unseal(KEY, "mesh-0000002a", bytes((0x10 | SealedKind.COMMAND,)) + octets[1:])


@pytest.mark.parametrize(
    ("octets", "error"),
    [(bytes(12), Truncated), (bytes(13), UnknownVersion), (b"\x1f" + bytes(12), Malformed)],
)
def test_bytes_that_are_no_seal(octets, error):
    with pytest.raises(error):
        unseal(KEY, "m", octets)


def test_meter_commands_of_wrong_length_or_kind():
    good = encode_command(Command(ID, CommandKind.CLOCK_SET, 1, 2, -3))
    assert decode_command(good).argument == -3
    assert decode_command(good + b"x").body == b"x"
    for octets, error in (
        (good[:-1], Truncated),
        (good + bytes(BODY_MAX_BYTES + 1), Malformed),
        (good[:16] + b"\xee" + good[17:], Malformed),
    ):
        with pytest.raises(error):
            decode_command(octets)
    with pytest.raises(Malformed):
        decode_result(bytes(16) + b"\x77\x00" + bytes(5))


@pytest.mark.parametrize(
    "topic", ["", "ohmesh/v1/gw/up", "ohmesh/v1/gw/a b/up", "ohmesh/v2/gw/a/up", "x/v1/gw/a/up/up"]
)
def test_topics_that_name_no_gateway(topic):
    with pytest.raises(Malformed):
        topics.gateway_of(topic)


def test_topics_round_trip():
    assert topics.gateway_of(topics.gateway_topic("gw-1", "up")) == "gw-1"
    assert topics.meter_of(topics.meter_topic("m_1")) == "m_1"
    with pytest.raises(Malformed):
        topics.meter_of("ohmesh/v1/meter/m/down")
