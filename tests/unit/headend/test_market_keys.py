"""Meters that encrypt by their market's standard: keys, and counters that only rise."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs.dlms.security import AUTHENTICATED, ENCRYPTED, seal_general
from headend.ingest.counters import decode_arrived, decode_waited
from headend.ingest.decode import Meter
from headend.ingest.effects import Item
from headend.ingest.shapes import Shapes
from headend.keystore import Keystore, market_name
from ohmesh.model.errors import ConfigError
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind

KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
PROFILES = ("lu_smarty", "at_dlms")


def plain(name):
    profile = registry.load(name)
    register = profile.spec.registers["el.energy.import"]
    return profile.encode(Report("00001234", NOON, (Reading(register, 5, NOON),)))


def ciphered(name, counter, keys=KEYS, control=AUTHENTICATED | ENCRYPTED):
    body = plain(name)
    if name == "at_dlms":
        body = body[9:-2]  # one M-Bus segment: what stands between its head and its check
    return seal_general(b"OHM\0\0\0\0\2", body, keys, control=control, counter=counter)


def items(name, payloads, floor=None):
    keys = Keys(KEYS.unicast, KEYS.authentication, floor)
    meter = Meter(7, 1, "M1", "M1", name, 1, market_keys=keys)
    return [
        Item(Telegram(TelegramKind.METER, "p1", "M1", name, 0, payload), None, 1, seq, meter)
        for seq, payload in enumerate(payloads)
    ]


def told(decoded):
    """For each telegram the reason of its refusal, or its counter."""
    return [o.reason.code if o.reason else o.counter for _, o in decoded]


@pytest.mark.parametrize("name", PROFILES)
def test_counters_rise_or_are_refused(name):
    payloads = [ciphered(name, counter) for counter in (5, 6, 6, 4, 9)]
    found = decode_arrived(items(name, payloads, floor=4), Shapes())
    assert told(found) == [5, 6, "decode:replay", "decode:replay", 9]
    assert [len(o.values) > 0 for _, o in found] == [True, True, False, False, True]


@pytest.mark.parametrize("name", PROFILES)
def test_the_floor_of_the_store_holds(name):
    assert told(decode_arrived(items(name, [ciphered(name, 9)], floor=9), Shapes())) == [
        "decode:replay"
    ]


@pytest.mark.parametrize("name", PROFILES)
def test_what_waited_in_quarantine_may_be_older_than_what_was_taken(name):
    assert told(decode_waited(items(name, [ciphered(name, 3)], floor=9))) == [3]


def test_a_forged_counter_does_not_lock_the_meter_out():
    """Its tag is wrong, so it is refused, and the floor stays where it was."""
    forged = ciphered("lu_smarty", 2**32 - 1, Keys(bytes(16), KEYS.authentication))
    found = decode_arrived(items("lu_smarty", [forged, ciphered("lu_smarty", 5)]), Shapes())
    assert told(found)[1] == 5
    assert str(told(found)[0]).startswith("decode:")


@pytest.mark.parametrize("name", PROFILES)
def test_a_meter_that_encrypts_sends_nothing_plain(name):
    assert told(decode_arrived(items(name, [plain(name)]), Shapes())) == ["decode:key"]


def test_meters_do_not_share_a_floor():
    first, second = items("lu_smarty", [ciphered("lu_smarty", n) for n in (8, 3)])
    other = second._replace(meter=Meter(8, 1, "M2", "M1", "lu_smarty", 1, market_keys=KEYS))
    assert told(decode_arrived([first, other], Shapes())) == [8, 3]


@pytest.mark.parametrize("authentication", [None, KEYS.authentication])
def test_market_keys_come_back(authentication):
    store = Keystore(bytes(32))
    sealed = store.seal(market_name("M1"), KEYS.unicast + (authentication or b""))
    assert store.open_market("M1", sealed) == Keys(KEYS.unicast, authentication)
    with pytest.raises(ConfigError):
        store.open_market("M2", sealed)
    with pytest.raises(ConfigError):
        store.open("M1", sealed)


def test_market_keys_have_one_size():
    store = Keystore(bytes(32))
    with pytest.raises(ConfigError, match="17 bytes"):
        store.open_market("M1", store.seal(market_name("M1"), bytes(17)))
