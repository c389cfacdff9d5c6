"""A DLMS client and a simulated meter: the switch, the balance, the token gateway."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.acse import Mechanism
from firmware_profiles.codecs.dlms.apdu import Target
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.errors import AccessRefused
from firmware_profiles.codecs.dlms.objects.control import DISCONNECT_CONTROL
from firmware_profiles.codecs.dlms.objects.payment import ACCOUNT, CREDIT, TOKEN_GATEWAY
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from meter_sim.field.cosem import objects_of
from meter_sim.testing import START_MS, Desk
from ohmesh.model.command import CommandKind
from ohmesh.tokens import sts
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.sts import TokenKind

KEY = bytes(range(50, 66))
NOW = datetime.fromtimestamp(START_MS / 1000, UTC)
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
HIGH = ClientSettings(
    mechanism=Mechanism.HIGH_GMAC,
    keys=KEYS,
    title=b"OHC\0\0\0\0\1",
    control=0x30,
    counter=1,
    challenge=b"client challenge",
)
LOW = ClientSettings(Mechanism.LOW, b"12345678")
NOTHING = axdr.int8(0)
OFF, ON = 1, 2
EXECUTED, USED, NOT_OURS = 3, 6, 5


class Line:
    """A client that is associated with a meter."""

    def __init__(self, settings=HIGH, **config):
        self.desk = Desk.of(**config)
        demands = ServerSettings(
            password=b"12345678",
            keys=KEYS,
            title=b"OHM\0\0\0\0\2",
            challenge=lambda: b"server challenge",
        )
        server = Server(objects_of(self.desk.meter), demands)
        self.line = lambda apdu: server.receive(apdu, NOW)
        self.client = Client(settings)
        run(self.client.associate(), self.line)

    def get(self, class_id, obis, attribute):
        return run(self.client.get(Target(class_id, obis, attribute)), self.line)

    def act(self, class_id, obis, method, parameter=NOTHING):
        return run(self.client.act(Target(class_id, obis, method), parameter), self.line)

    def switch(self, method):
        self.act(70, DISCONNECT_CONTROL, method)
        return [self.get(70, DISCONNECT_CONTROL, attribute) for attribute in (2, 3)]


@pytest.mark.parametrize(("mode", "after_on"), [(3, [False, 2]), (4, [True, 1])])
def test_the_switch_obeys_and_reads_back_what_it_did(mode, after_on):
    line = Line(control_mode=mode)
    assert line.get(70, DISCONNECT_CONTROL, 4) == mode
    assert line.switch(OFF) == [False, 0]
    assert line.switch(ON) == after_on
    relay = line.desk.answer(line.desk.sealed(CommandKind.RELAY_READ)).relay
    assert relay == after_on[1], "the head-end hears the same"


def test_a_meter_that_never_opens_refuses():
    line = Line(control_mode=0)
    with pytest.raises(AccessRefused):
        line.switch(OFF)
    assert line.desk.meter.contactor.closed


def test_a_password_alone_moves_no_switch_and_enters_no_token():
    line = Line(LOW, decoder_key=KEY)
    with pytest.raises(AccessRefused):
        line.switch(OFF)
    with pytest.raises(AccessRefused):
        line.act(115, TOKEN_GATEWAY, 1, axdr.octets(b"1" * 20))
    assert line.desk.meter.contactor.closed


def test_a_stuck_switch_shows_contact_and_control_apart():
    line = Line()
    line.desk.meter.contactor.stuck = True
    assert line.switch(OFF) == [True, 0]


def test_a_token_goes_through_the_gateway_once_and_the_balance_shows_it():
    line = Line(decoder_key=KEY)
    token = sts.encode(sts.make(TokenKind.ELECTRICITY, 250, tid=5000, rnd=5), Misty1(KEY))
    for status in (EXECUTED, USED):
        line.act(115, TOKEN_GATEWAY, 1, axdr.octets(token.encode()))
        assert line.get(115, TOKEN_GATEWAY, 6)[0] == status
        assert line.get(111, ACCOUNT, 5) == line.get(112, CREDIT, 2) == 250
    other = sts.encode(sts.make(TokenKind.ELECTRICITY, 9, tid=5001, rnd=5), Misty1(bytes(16)))
    line.act(115, TOKEN_GATEWAY, 1, axdr.octets(other.encode()))
    assert line.get(115, TOKEN_GATEWAY, 6)[0] == NOT_OURS
    assert line.desk.meter.credit == 250


@pytest.mark.parametrize("octets", [b"", b"\xff" * 20, b"1" * 19])
def test_garbage_in_the_token_gateway(octets):
    line = Line(decoder_key=KEY)
    line.act(115, TOKEN_GATEWAY, 1, axdr.octets(octets))
    assert line.get(115, TOKEN_GATEWAY, 6)[0] == 4
    assert line.desk.meter.credit == 0


def test_a_meter_without_tokens_has_no_account():
    with pytest.raises(AccessRefused):
        Line().get(111, ACCOUNT, 5)


def test_nobody_but_tokens_changes_the_credit():
    line = Line(decoder_key=KEY)
    with pytest.raises(AccessRefused):
        line.act(112, CREDIT, 2, axdr.int32(1000))
    assert line.get(112, CREDIT, 2) == 0
