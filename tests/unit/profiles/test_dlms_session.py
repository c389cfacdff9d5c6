"""DLMS client and server against each other over a line that can be watched and damaged."""

from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr, ciphering
from firmware_profiles.codecs.dlms.acse import Mechanism
from firmware_profiles.codecs.dlms.apdu import Selection, Target
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.clock import date_time_bytes
from firmware_profiles.codecs.dlms.errors import (
    AccessRefused,
    AccessResult,
    AssociationRefused,
    SequenceError,
)
from firmware_profiles.codecs.dlms.objects.access import ASSOCIATION, SECURITY_SETUP, SecuritySetup
from firmware_profiles.codecs.dlms.objects.control import (
    ActivityCalendar,
    ControlMode,
    DisconnectControl,
    Limiter,
    Script,
    ScriptTable,
    push_setup,
    single_action_schedule,
)
from firmware_profiles.codecs.dlms.objects.measure import (
    CLOCK,
    Clock,
    Column,
    Demand,
    ProfileGeneric,
    data,
    demand_register,
    extended_register,
    register,
)
from firmware_profiles.codecs.dlms.objects.payment import (
    Account,
    Charge,
    Credit,
    Currency,
    TokenGateway,
    TokenStatus,
)
from firmware_profiles.codecs.dlms.server import Server, ServerSettings, State
from ohmesh.model.command import RelayState
from ohmesh.model.errors import DecodeError
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SEOUL = ZoneInfo("Asia/Seoul")
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
MASTER = bytes(range(32, 48))
CLIENT_TITLE, SERVER_TITLE = b"OHC\0\0\0\0\1", b"OHM\0\0\0\0\2"
ENERGY = Target(3, Obis.parse("1-0:1.8.0"), 2)
NAME = Target(1, Obis.parse("0-0:42.0.0"), 2)
NOTE = Target(1, Obis.parse("0-0:96.13.0"), 2)
PROFILE = Obis.parse("1-0:99.1.0")
RELAY = Obis.parse("0-0:96.3.10")
TOKEN = Target(115, Obis.parse("0-0:19.40.0"), 1)
LOW = ClientSettings(Mechanism.LOW, b"12345678")


def energy_wh(now):
    return int(now.timestamp()) % 10**9


class Meter:
    """A device with one object of each class, and the line to it."""

    def __init__(self, *, pdu_max=1024, mode=ControlMode.REMOTE_DIRECT):
        self.now = NOW
        self.sent = []
        self.pushed = []
        self.relay = DisconnectControl(mode)
        self.clock = Clock(SEOUL)
        self.energy = register(
            ENERGY.obis,
            lambda now: axdr.uint32(int(now.timestamp()) % 10**9),
            scaler=0,
            unit=Unit.WH,
        )
        self.profile = ProfileGeneric(
            PROFILE,
            [Column(self.clock, 2), Column(self.energy, 2)],
            period_s=900,
            entries_max=3000,
        )
        self.credit, self.charge = Credit(amount=500), Charge(unit_charge=7, remaining=90)
        self.limiter = Limiter(
            Target(3, Obis.parse("1-0:1.7.0"), 2), threshold_w=3000, over_s=60, control=self.relay
        )
        challenges = count(1)
        settings = ServerSettings(
            password=b"12345678",
            keys=KEYS,
            title=SERVER_TITLE,
            challenge=lambda: next(challenges).to_bytes(16, "big"),
            pdu_max=pdu_max,
        )
        self.server = Server(self.objects(), settings)

    def objects(self):
        scripts = {1: Script(Target(70, RELAY, 1), lambda now: self.relay.act(1, None, now))}
        demand = Demand(1200, 1100, date_time_bytes(NOW, SEOUL), date_time_bytes(NOW, SEOUL))
        table = Obis.parse("0-0:10.0.106")
        return [
            data(NAME.obis, axdr.octets(b"OHM0000000000002"), public=True),
            data(NOTE.obis, axdr.octets(b""), writable=True),
            self.energy,
            extended_register(
                Obis.parse("0-1:24.2.1"),
                axdr.uint32(30545),
                lambda now: axdr.octets(date_time_bytes(now, SEOUL)),
                scaler=-3,
                unit=Unit.M3,
            ),
            demand_register(
                Obis.parse("1-0:1.4.0"), lambda _: demand, scaler=0, unit=Unit.W, period_s=900
            ),
            self.profile,
            self.clock,
            ScriptTable(table, scripts),
            ActivityCalendar(Obis.parse("0-0:13.0.0"), "summer"),
            single_action_schedule(Obis.parse("0-0:15.0.1"), table, 1),
            push_setup(Obis.parse("0-0:25.9.0"), [ENERGY], "head-end", self.pushed.append),
            SecuritySetup(KEYS, MASTER, SERVER_TITLE, self.renewed),
            self.relay,
            self.limiter,
            self.credit,
            self.charge,
            Account([self.credit], [self.charge], Currency("KRW", 0)),
            TokenGateway(lambda token, _now: self.judge(token)),
        ]

    def renewed(self, keys):
        self.keys = keys

    def judge(self, token):
        if len(token) != 20:
            return TokenStatus.FORMAT_FAILURE
        self.credit.add(1000)
        return TokenStatus.EXECUTED

    def line(self, apdu):
        self.sent.append(apdu)
        return self.server.receive(apdu, self.now)


def high(counter=1, **changes):
    settings = {
        "mechanism": Mechanism.HIGH_GMAC,
        "keys": KEYS,
        "title": CLIENT_TITLE,
        "control": 0x30,
        "counter": counter,
        "challenge": b"client challenge",
    }
    return ClientSettings(**{**settings, **changes})


def opened(meter, settings):
    client = Client(settings)
    run(client.associate(), meter.line)
    return client


SETTINGS = [
    pytest.param(high(), id="hls"),
    pytest.param(high(dedicated_key=bytes(range(64, 80))), id="hls-dedicated"),
    pytest.param(high(control=0x31), id="suite1"),
]


@pytest.mark.parametrize("settings", [LOW, *SETTINGS])
def test_a_session_opens_reads_and_closes(settings):
    meter = Meter()
    client = opened(meter, settings)
    assert meter.server.state is State.OPEN
    assert run(client.get(ENERGY), meter.line) == energy_wh(NOW)
    assert run(client.get(Target(3, ENERGY.obis, 3)), meter.line) == (0, 30)
    run(client.release(), meter.line)
    assert meter.server.state is State.CLOSED
    with pytest.raises(SequenceError):
        run(client.get(ENERGY), meter.line)


def test_a_ciphered_session_shows_nothing_on_the_line():
    meter = Meter()
    client = opened(meter, high())
    run(client.set(NOTE, axdr.octets(b"secret note")), meter.line)
    assert not any(b"secret note" in apdu for apdu in meter.sent)
    assert run(client.get(NOTE), meter.line) == b"secret note"


def test_without_authentication_only_public_objects_are_read():
    meter = Meter()
    client = opened(meter, ClientSettings())
    assert run(client.get(NAME), meter.line) == b"OHM0000000000002"
    names = {row[2] for row in run(client.get(Target(15, ASSOCIATION, 2)), meter.line)}
    assert names == {NAME.obis.to_bytes(), CLOCK.to_bytes(), ASSOCIATION.to_bytes()}
    for exchange in (
        client.get(ENERGY),
        client.set(NOTE, axdr.octets(b"x")),
        client.act(Target(70, RELAY, 1), axdr.int8(0)),
    ):
        with pytest.raises(AccessRefused) as caught:
            run(exchange, meter.line)
        assert caught.value.result is AccessResult.READ_WRITE_DENIED
    assert meter.relay.state is RelayState.CONNECTED


def test_a_password_reads_but_never_switches():
    meter = Meter()
    client = opened(meter, LOW)
    assert run(client.get(ENERGY), meter.line)
    for exchange in (
        client.act(Target(70, RELAY, 1), axdr.int8(0)),
        client.set(NOTE, axdr.octets(b"x")),
    ):
        with pytest.raises(AccessRefused):
            run(exchange, meter.line)
    assert meter.relay.state is RelayState.CONNECTED


def test_a_proof_without_ciphering_does_not_switch():
    meter = Meter()
    client = opened(meter, high(control=0))
    assert run(client.get(ENERGY), meter.line)
    with pytest.raises(AccessRefused):
        run(client.act(Target(70, RELAY, 1), axdr.int8(0)), meter.line)


@pytest.mark.parametrize(
    "settings",
    [
        ClientSettings(Mechanism.LOW, b"wrong"),
        ClientSettings(Mechanism.LOW, b""),
        high(keys=Keys(bytes(16), KEYS.authentication)),
        high(keys=Keys(KEYS.unicast, bytes(16))),
        high(keys=Keys(bytes(16), KEYS.authentication), control=0),
        high(challenge=b""),
    ],
)
def test_wrong_secrets_open_nothing(settings):
    meter = Meter()
    with pytest.raises((AssociationRefused, AccessRefused)):
        opened(meter, settings)
    assert meter.server.state is State.CLOSED


def test_a_server_without_the_key_is_found_out():
    meter = Meter()

    def impostor(apdu):
        reply = bytearray(meter.line(apdu))
        if len(meter.sent) == 2:
            reply[-1] ^= 1
        return bytes(reply)

    with pytest.raises((AssociationRefused, DecodeError)):
        run(Client(high()).associate(), impostor)
    plain = Meter()

    def changed(apdu):
        reply = bytearray(plain.line(apdu))
        if len(plain.sent) == 2:
            reply[-1] ^= 1
        return bytes(reply)

    with pytest.raises(AssociationRefused, match="does not prove"):
        run(Client(high(control=0)).associate(), changed)


def test_a_recorded_session_is_of_no_use():
    meter = Meter()
    client = opened(meter, high())
    run(client.act(Target(70, RELAY, 1), axdr.int8(0)), meter.line)
    meter.relay.act(2, None, NOW)
    recorded = list(meter.sent)
    for apdu in recorded[-1:] + recorded:
        meter.server.receive(apdu, NOW)
    assert meter.relay.state is RelayState.CONNECTED
    with pytest.raises(AssociationRefused):
        opened(meter, high(counter=1))
    again = opened(meter, high(counter=client.counter))
    assert run(again.get(ENERGY), meter.line)


@pytest.mark.parametrize("pdu_max", [128, 300, 4000])
@pytest.mark.parametrize("settings", [LOW, *SETTINGS])
def test_long_values_come_in_blocks(settings, pdu_max):
    meter = Meter(pdu_max=pdu_max)
    for n in range(300):
        meter.profile.capture(NOW + timedelta(minutes=15 * n))
    client = opened(meter, settings)
    rows = run(client.get(Target(7, PROFILE, 2)), meter.line)
    assert len(rows) == 300
    assert rows[5] == (
        date_time_bytes(NOW + timedelta(minutes=75), SEOUL),
        energy_wh(NOW + timedelta(minutes=75)),
    )


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_long_writes_go_in_blocks(size):
    meter = Meter(pdu_max=200)
    client = opened(meter, high())
    run(client.set(NOTE, axdr.octets(bytes(size))), meter.line)
    assert run(client.get(NOTE), meter.line) == bytes(size)
    before = len(meter.sent)
    status = run(client.act(TOKEN, axdr.octets(bytes(size))), meter.line)
    assert status[0] == TokenStatus.FORMAT_FAILURE
    assert len(meter.sent) - before == max(1, -(-(size + 4) // (200 - 64)))


def test_profiles_are_read_by_time_and_by_entry():
    meter = Meter()
    for n in range(20):
        meter.profile.capture(NOW + timedelta(minutes=15 * n))
    client = opened(meter, high())
    start = date_time_bytes(NOW + timedelta(minutes=30), SEOUL)
    end = date_time_bytes(NOW + timedelta(minutes=75), SEOUL)
    rows = run(client.read_profile(PROFILE, start=start, end=end), meter.line)
    assert [row[0] for row in rows] == [
        date_time_bytes(NOW + timedelta(minutes=m), SEOUL) for m in (30, 45, 60, 75)
    ]
    rows = run(client.read_entries(PROFILE, first=19, last=0), meter.line)
    assert len(rows) == 2
    captured = run(client.get(Target(7, PROFILE, 3)), meter.line)
    assert [c[1] for c in captured] == [CLOCK.to_bytes(), ENERGY.obis.to_bytes()]
    run(client.act(Target(7, PROFILE, 1), axdr.int8(0)), meter.line)
    assert run(client.get(Target(7, PROFILE, 7)), meter.line) == 0


@pytest.mark.parametrize(
    "selection",
    [
        Selection(3, axdr.structure(*[axdr.uint8(1)] * 4)),
        Selection(1, axdr.uint8(1)),
        Selection(1, axdr.structure(*[axdr.uint8(1)] * 4)),
        Selection(2, axdr.structure(*[axdr.octets(b"")] * 4)),
        Selection(2, axdr.structure(*[axdr.uint8(0)] * 4)),
    ],
)
def test_a_wrong_selection_is_refused(selection):
    meter = Meter()
    client = opened(meter, high())
    with pytest.raises(AccessRefused):
        run(client.get(Target(7, PROFILE, 2), selection), meter.line)
    with pytest.raises(AccessRefused):
        run(client.get(ENERGY, selection), meter.line)


def test_several_attributes_in_one_request():
    meter = Meter()
    client = opened(meter, LOW)
    missing = Target(3, Obis.parse("1-0:99.99.0"), 2)
    value, refused, name = run(client.get_list([ENERGY, missing, NAME]), meter.line)
    assert value == energy_wh(NOW)
    assert refused.result is AccessResult.OBJECT_UNDEFINED
    assert name == b"OHM0000000000002"


def test_the_switch_obeys_its_mode():
    meter = Meter()
    client = opened(meter, high())
    states = []
    for method in (1, 2, 1):
        run(client.act(Target(70, RELAY, method), axdr.int8(0)), meter.line)
        states.append(run(client.get(Target(70, RELAY, 3)), meter.line))
    assert states == [0, 1, 0]
    assert run(client.get(Target(70, RELAY, 2)), meter.line) is False
    run(client.set(Target(70, RELAY, 4), axdr.enum(ControlMode.REMOTE_TO_READY)), meter.line)
    run(client.act(Target(70, RELAY, 2), axdr.int8(0)), meter.line)
    assert meter.relay.state is RelayState.READY_FOR_RECONNECTION
    meter.relay.manual_reconnect()
    assert meter.relay.state is RelayState.CONNECTED
    for wrong in (axdr.enum(9), axdr.uint8(1)):
        with pytest.raises(AccessRefused):
            run(client.set(Target(70, RELAY, 4), wrong), meter.line)


@pytest.mark.parametrize("mode", ControlMode)
def test_every_mode_of_the_switch(mode):
    relay = DisconnectControl(mode)
    relay.manual_disconnect()
    assert (relay.state is RelayState.CONNECTED) == (mode in {0, 3, 4, 6})
    relay.state = RelayState.CONNECTED
    relay.local_disconnect()
    assert (relay.state is RelayState.CONNECTED) == (mode is ControlMode.NONE)
    relay.local_reconnect()
    assert (relay.state is RelayState.CONNECTED) == (mode in {0, 5, 6})


def test_the_limiter_opens_after_its_time():
    meter = Meter()
    watched = [
        meter.limiter.watch(power, NOW + timedelta(seconds=s))
        for s, power in ((0, 3500), (30, 3500), (40, 2000), (50, 3500), (100, 3500), (111, 3500))
    ]
    assert watched == [False] * 5 + [True]
    assert meter.relay.state is RelayState.READY_FOR_RECONNECTION
    client = opened(meter, high())
    limiter = Target(71, Obis.parse("0-0:17.0.0"), 4)
    run(client.set(limiter, axdr.uint32(9000)), meter.line)
    assert run(client.get(Target(71, limiter.obis, 3)), meter.line) == 9000


def test_the_clock_is_set_and_shifted():
    meter = Meter()
    client = opened(meter, high())
    later = NOW + timedelta(minutes=5)
    clock = Target(8, CLOCK, 2)
    run(client.set(clock, axdr.octets(date_time_bytes(later, SEOUL))), meter.line)
    assert run(client.get(clock), meter.line) == date_time_bytes(later, SEOUL)
    run(client.act(Target(8, CLOCK, 6), axdr.int16(-300)), meter.line)
    assert run(client.get(clock), meter.line) == date_time_bytes(NOW, SEOUL)
    assert run(client.get(Target(8, CLOCK, 3)), meter.line) == -540
    with pytest.raises(AccessRefused):
        run(client.set(clock, axdr.octets(bytes(12))), meter.line)


def test_keys_are_renewed_under_the_master_key():
    meter = Meter()
    client = opened(meter, high())
    setup = Target(64, SECURITY_SETUP, 2)
    fresh = bytes(range(100, 116))

    def transfer(master):
        wrapped = axdr.octets(ciphering.wrap_key(master, fresh))
        return client.act(setup, axdr.array(axdr.structure(axdr.enum(0), wrapped)))

    with pytest.raises(AccessRefused):
        run(transfer(bytes(16)), meter.line)
    run(transfer(MASTER), meter.line)
    assert meter.keys == Keys(fresh, KEYS.authentication)
    with pytest.raises(AccessRefused):
        run(client.act(Target(64, SECURITY_SETUP, 1), axdr.enum(0)), meter.line)


def test_tokens_credits_and_accounts():
    meter = Meter()
    client = opened(meter, high())
    assert run(client.act(TOKEN, axdr.octets(b"1" * 20)), meter.line)[0] == TokenStatus.EXECUTED
    account = Obis.parse("0-0:19.0.0")
    assert run(client.get(Target(111, account, 5)), meter.line) == 1500
    meter.charge.collect(40)
    assert run(client.get(Target(111, account, 8)), meter.line) == 50
    credit = Obis.parse("0-0:19.10.0")
    assert run(client.act(Target(112, credit, 2), axdr.int32(-5)), meter.line) == 1500
    assert run(client.get(Target(112, credit, 8)), meter.line) == 4
    with pytest.raises(AccessRefused):
        run(client.act(Target(112, credit, 1), axdr.int32(-(1 << 31))), meter.line)
    with pytest.raises(AccessRefused):
        run(client.act(Target(111, account, 3), axdr.int8(0)), meter.line)
    run(client.act(Target(111, account, 2), axdr.int8(0)), meter.line)
    assert run(client.get(Target(111, account, 2)), meter.line) == (2, 3)
    assert run(client.get(Target(111, account, 15)), meter.line) == ("KRW", 0, 2)


def test_scripts_calendars_and_pushes():
    meter = Meter()
    client = opened(meter, high())
    table = Obis.parse("0-0:10.0.106")
    run(client.act(Target(9, table, 1), axdr.uint16(1)), meter.line)
    assert meter.relay.state is RelayState.DISCONNECTED
    with pytest.raises(AccessRefused):
        run(client.act(Target(9, table, 1), axdr.uint16(7)), meter.line)
    calendar = Obis.parse("0-0:13.0.0")
    run(client.set(Target(20, calendar, 6), axdr.octets(b"winter")), meter.line)
    run(client.act(Target(20, calendar, 1), axdr.int8(0)), meter.line)
    assert run(client.get(Target(20, calendar, 2)), meter.line) == b"winter"
    run(client.act(Target(40, Obis.parse("0-0:25.9.0"), 1), axdr.int8(0)), meter.line)
    assert meter.pushed == [NOW]


def test_every_attribute_in_the_object_list_can_be_read():
    meter = Meter()
    client = opened(meter, high())
    listed = run(client.get(Target(15, ASSOCIATION, 2)), meter.line)
    assert {row[0] for row in listed} == {
        *(1, 3, 4, 5, 7, 8, 9, 15, 20, 22, 40, 64, 70, 71, 111, 112, 113, 115)
    }
    for class_id, _version, name, (attributes, _methods) in listed:
        for index, _mode, _selectors in attributes:
            target = Target(class_id, Obis.from_bytes(name), index)
            value = run(client.get(target), meter.line)
            assert index != 1 or value == name


def test_what_is_no_request_gets_an_exception_response():
    meter = Meter()
    for junk in (b"", b"\x00", b"\xc0\x01", b"\x60\x00", b"\x60\x81", bytes(50)):
        reply = meter.server.receive(junk, NOW)
        assert reply[0] in {0xD8, 0x61}
    opened(meter, LOW)
    for junk in (b"", b"\xc0\x07\xc1", b"\xc0\x01\xc1\x00", b"\xc8\x05\x30\x00", b"\xff" * 9):
        assert meter.server.receive(junk, NOW)[0] == 0xD8
    assert meter.server.state is State.OPEN


@pytest.mark.parametrize("settings", [LOW, *SETTINGS])
def test_every_damaged_reply_ends_in_a_typed_error(settings):
    for position in range(0, 80, 3):
        meter = Meter()

        def damaged(apdu, meter=meter, position=position):
            reply = bytearray(meter.line(apdu))
            if position < len(reply):
                reply[position] ^= 0x11
            return bytes(reply[: max(1, len(reply) - position // 9)])

        try:
            client = Client(settings)
            run(client.associate(), damaged)
            run(client.get(ENERGY), damaged)
        except (DecodeError, AccessRefused, AssociationRefused, SequenceError):
            continue
