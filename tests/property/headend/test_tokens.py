"""Tokens: there and back, and no credit twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from headend.prepayment.tokens import paygo, utrn
from ohmesh.tokens import amounts, block, key_change, sts
from ohmesh.tokens.acceptance import MeterState, TokenReader, Verdict
from ohmesh.tokens.keys import KeyType
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.pan import MeterPan, has_luhn_digit, luhn_digit
from ohmesh.tokens.sta import SAMPLE_TABLES, Sta
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid, next_tid

STA = Sta(SAMPLE_TABLES)
KEY = bytes(range(16))
blocks = st.integers(0, 2**64 - 1)
kinds = st.sampled_from(TokenKind)


@given(st.binary(min_size=16, max_size=16), blocks)
def test_misty1_there_and_back(key, plain):
    cipher = Misty1(key)
    assert cipher.decrypt(cipher.encrypt(plain)) == plain


@given(blocks, blocks)
def test_the_sta_there_and_back(key, plain):
    assert STA.decrypt(key, STA.encrypt(key, plain)) == plain


@given(st.integers(0, 3), blocks)
def test_digits_there_and_back(token_class, data):
    assert block.from_digits(block.to_digits(token_class, data)) == (token_class, data)


@given(st.text(max_size=24) | st.from_regex(r"[0-9]{20}", fullmatch=True))
def test_whatever_is_keyed_in_gets_a_verdict_and_changes_nothing_when_refused(digits):
    state = MeterState(KEY)
    entry = TokenReader(Misty1).enter(state, digits)
    if entry.verdict.value.startswith("reject"):
        assert entry.state is state


@given(st.integers(0, 18_201_624))
def test_an_amount_is_rounded_up_by_less_than_its_step(units):
    amount = amounts.encode(units)
    assert 0 <= amount.units - units < 10**amount.exponent or amount.mantissa == 0
    assert (amount.units - units) * 16385 <= 9 * max(units, 1) or amount.exponent == 0
    assert amounts.decode(amount.field16) == amount


@given(st.integers(0, 10**30))
def test_a_currency_amount_is_rounded_up(units):
    amount = amounts.encode_currency(units)
    assert amount.units >= units
    assert amounts.decode(amount.field16, amount.s_and_e) == amount


@given(kinds, st.integers(0, 2**16 - 1), st.integers(0, 2**24 - 1), st.integers(0, 15))
def test_a_token_reads_back_as_it_was_made(kind, units, tid, rnd):
    token = sts.make(kind, units, tid=tid, rnd=rnd)
    assert sts.read(sts.unseal(sts.encode(token, Misty1(KEY)), Misty1(KEY))) == token
    assert token.units >= units


@given(
    st.binary(min_size=16, max_size=16) | st.binary(min_size=8, max_size=8),
    st.integers(1, 9),
    st.sampled_from(KeyType),
    st.integers(0, 99),
    st.integers(0, 255),
    st.booleans(),
    st.integers(0, 999_999),
)
def test_a_new_key_survives_its_sections(key, krn, kind, index, expiry, rollover, group):
    change = key_change.KeyChange(key, krn, kind, index, f"{group:06d}", expiry, rollover)
    new = key_change.assemble(change.sections(), len(key))
    assert new == key_change.NewKey(key, krn, kind, index, expiry, rollover)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 50)), min_size=1, max_size=60))
def test_no_token_adds_credit_twice(entries):
    """Any tokens in any order and any repetition: each identifier counts at most once."""
    reader, state = TokenReader(Misty1), MeterState(KEY, tids=(0,) * 5)
    added = {}
    for tid, units in entries:
        made = sts.make(TokenKind.ELECTRICITY, units, tid=tid, rnd=5)
        entry = reader.enter(state, sts.encode(made, Misty1(KEY)))
        if entry.verdict is Verdict.ACCEPT:
            assert tid not in added
            added[tid] = units
        state = entry.state
    assert state.credit == sum(added.values())


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(0, 2**22))
def test_identifiers_strictly_rise(pauses, start_minute):
    now = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(minutes=start_minute)
    last = None
    for pause in pauses:
        now += timedelta(minutes=1 + pause)
        tid = next_tid(now, 2014, last)
        assert last is None or tid > last.tid
        assert tid % 1440 != 1
        last = LastTid(tid, now)


@given(st.integers(0, 10**10 - 1))
def test_a_meter_number_is_one_by_both_its_digits(number):
    drn = f"{number:010d}"
    pan = str(MeterPan("600727", drn + luhn_digit(drn)))
    assert str(MeterPan.parse(pan)) == pan
    assert has_luhn_digit(pan)


@given(st.integers(0, 1023), st.sampled_from(utrn.ValueClass), st.integers(0, 8191),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_a_top_up_number_there_and_back(counter, value_class, value, mac):
    token = utrn.TopUpToken(counter, value_class, value, mac)
    assert utrn.TopUpToken.from_digits(token.to_digits()) == token
    assert 73 <= int(token.to_digits()[:2]) <= 96


@settings(max_examples=25)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_days_of_a_solar_device_count_once_in_any_order(values, dice):
    key = paygo.PaygoKey("bc41ec9530f6dac86b1a29ab82edc5fb")
    count_now, tokens = 1, []
    for value in values:
        made = paygo.issue(key, count_now, paygo.PaygoType.ADD_TIME, value)
        count_now = made.count
        tokens.append(made.digits)
    entered = tokens * 2
    dice.shuffle(entered)
    device = paygo.PaygoDevice.new()
    counts = []
    for _, digits in zip(count(), entered, strict=False):
        device = paygo.enter(key, device, digits).device
        counts.append(device.count)
    assert device.days == sum(values)
    assert counts == sorted(counts)
