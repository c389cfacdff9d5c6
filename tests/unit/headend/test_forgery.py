"""A thousand telegrams that the meter of a market never sent: not one gives a reading.

Old and equal counters, forged tags, altered text, a foreign key, another meter's title, plain text;
and a genuine one that jumps ahead is taken, after which everything in between is a replay.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs.dlms.security import AUTHENTICATED, ENCRYPTED, seal_general
from headend.ingest.counters import decode_arrived
from headend.ingest.decode import Meter
from headend.ingest.effects import Item
from headend.ingest.shapes import Shapes
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind

KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
FOREIGN = Keys(bytes(range(1, 17)), bytes(range(17, 33)))
TITLE, OTHER_TITLE = b"OHM\0\0\0\0\2", b"OHM\0\0\0\0\3"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FLOOR = 10_000
FORGERIES = 1000


def body():
    profile = registry.load("lu_smarty")
    register = profile.spec.registers["el.energy.import"]
    return profile.encode(Report("00001234", NOON, (Reading(register, 5, NOON),)))


def sealed(counter, *, keys=KEYS, title=TITLE, control=AUTHENTICATED | ENCRYPTED):
    return seal_general(title, body(), keys, control=control, counter=counter)


def altered(octets, at, dice):
    changed = octets[at] ^ (1 << dice.randrange(8))
    return octets[:at] + bytes((changed,)) + octets[at + 1 :]


def old_counter(dice):
    return sealed(dice.randrange(FLOOR))


def equal_counter(_):
    return sealed(FLOOR)


def forged_tag(dice):
    genuine = sealed(FLOOR + 1)
    return altered(genuine, len(genuine) - 1 - dice.randrange(12), dice)


def altered_anywhere(dice):
    genuine = sealed(FLOOR + 1 + dice.randrange(9))
    return altered(genuine, dice.randrange(len(genuine)), dice)


def foreign_key(dice):
    return sealed(FLOOR + 1 + dice.randrange(9), keys=FOREIGN)


def title_of_another(dice):
    """Sealed for one title and sent under another: the title is part of the nonce."""
    genuine = sealed(FLOOR + 1 + dice.randrange(9), title=OTHER_TITLE)
    return genuine.replace(OTHER_TITLE, TITLE, 1)


def plain(_):
    return body()


WAYS = (
    *(old_counter, equal_counter, forged_tag, altered_anywhere, foreign_key),
    *(title_of_another, plain),
)


def decoded(payloads):
    """Each arrives alone, so that none is refused for what came before it."""
    keys = Keys(KEYS.unicast, KEYS.authentication, FLOOR)
    meter = Meter(7, 1, "M1", "M1", "lu_smarty", 1, market_keys=keys)
    shapes = Shapes()
    for payload in payloads:
        telegram = Telegram(TelegramKind.METER, "p1", "M1", "lu_smarty", 0, payload)
        yield decode_arrived([Item(telegram, None, 1, 1, meter)], shapes)[0][1]


@pytest.mark.parametrize("way", WAYS)
def test_no_forgery_is_a_reading(way):
    dice = random.Random(way.__name__)
    forged = [way(dice) for _ in range(-(-FORGERIES // len(WAYS)))]
    genuine = next(decoded([sealed(FLOOR + 1)]))
    assert genuine.values, "the genuine one is not taken, so nothing is proven"
    for outcome in decoded(forged):
        assert outcome.reason is not None
        assert not outcome.values
        assert outcome.row is None


def test_a_jump_ahead_is_taken_and_what_it_skipped_is_not():
    keys = Keys(KEYS.unicast, KEYS.authentication, FLOOR)
    meter = Meter(7, 1, "M1", "M1", "lu_smarty", 1, market_keys=keys)
    payloads = [sealed(n) for n in (FLOOR + 1, FLOOR + 5000, FLOOR + 2, FLOOR + 5000)]
    items = [
        Item(Telegram(TelegramKind.METER, "p1", "M1", "", 0, payload), None, 1, seq, meter)
        for seq, payload in enumerate(payloads)
    ]
    outcomes = [outcome for _, outcome in decode_arrived(items, Shapes())]
    assert [bool(outcome.values) for outcome in outcomes] == [True, True, False, False]
    assert [o.reason.code for o in outcomes if o.reason] == ["decode:replay", "decode:replay"]
