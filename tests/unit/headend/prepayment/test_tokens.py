"""Tokens beyond the shared vectors: refusals, identifiers, vending, the meter's store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from headend.keystore import Keystore
from headend.prepayment.tokens import paygo, utrn
from headend.prepayment.tokens.security import (
    TEST_KEYS,
    KeyHandle,
    StsSoftTest,
    UtrnSoftTest,
)
from headend.prepayment.tokens.vending import COUNT_MAX, Asked, PaygoVending, UtrnVending
from headend.prepayment.tokens.vendor import StsVendor, VendRequest
from ohmesh.model.errors import ConfigError, PrepaymentError
from ohmesh.tokens import acceptance, amounts, block, key_change, keys, sts
from ohmesh.tokens.acceptance import MeterState, TokenReader, Verdict
from ohmesh.tokens.ciphers import DecoderCiphers
from ohmesh.tokens.keys import Dkga, EncryptionAlgorithm, KeyParams, KeyType
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.pan import MeterPan
from ohmesh.tokens.sta import SAMPLE_TABLES, Sta, load_tables
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid, next_base_year, next_tid, tid_at

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAN = MeterPan.parse("600727000000000009")
PARAMS = KeyParams(PAN, "123457", tariff_index=1, key_revision=1)
KEY = bytes(range(16))
MISTY1, STA = EncryptionAlgorithm.MISTY1, EncryptionAlgorithm.STA


def refused(call, *args, **kwargs):
    with pytest.raises(PrepaymentError) as error:
        call(*args, **kwargs)
    return error.value.code


# -- identifiers --------------------


def test_identifiers_rise_and_never_hit_the_reserved_minute():
    now = datetime(2026, 3, 9, 23, 58, tzinfo=UTC)
    last, seen = None, []
    for _ in range(20):
        number = next_tid(now, 2014, last)
        last = LastTid(number, now)
        seen.append(number)
    assert seen == sorted(set(seen))
    assert all(number % 1440 != 1 for number in seen)


def test_too_many_tokens_at_once_or_a_clock_that_went_back_are_refused():
    ahead = LastTid(tid_at(NOW, 2014) + 30, NOW)
    assert refused(next_tid, NOW, 2014, ahead) == "tid_too_fast"
    assert next_tid(NOW + MINUTE, 2014, ahead) == ahead.tid + 1
    assert refused(next_tid, NOW - 6 * MINUTE, 2014, LastTid(1, NOW)) == "tid_clock_behind"
    assert next_tid(NOW - 5 * MINUTE, 2014, LastTid(1, NOW)) == tid_at(NOW - 5 * MINUTE, 2014)


def test_a_base_date_ends_and_the_next_one_takes_over():
    last_minute = datetime(2045, 11, 24, 20, 15, tzinfo=UTC)
    assert tid_at(last_minute, 2014) == 2**24 - 1
    assert refused(tid_at, last_minute + MINUTE, 2014) == "tid_out_of_range"
    assert next_base_year(2014) == 2035
    assert tid_at(last_minute + MINUTE, 2035) > 0
    assert refused(next_base_year, 2035) == "tid_out_of_range"
    assert refused(tid_at, NOW, 2015) == "base_year"


# -- keys, numbers, ciphers --------------------


@pytest.mark.parametrize(
    "pan",
    ["", "60072700000000000x", "600727000000000008", "600727000000000019", "700727000000000009"],
)
def test_a_meter_number_with_a_wrong_digit_is_refused(pan):
    assert refused(MeterPan.parse, pan) == "meter_pan"


def test_keys_that_nobody_published_are_not_made():
    common = KeyParams(PAN, "123457", 1, 1, KeyType.COMMON)
    hmac, des = TEST_KEYS["test-hmac"], TEST_KEYS["test-des"]
    assert refused(keys.derive, Dkga.HMAC, MISTY1, hmac, common) == "key_type"
    assert refused(keys.derive, Dkga.HMAC, MISTY1, des, PARAMS) == "vending_key"
    assert refused(keys.derive, Dkga.DES, MISTY1, des, PARAMS) == "vending_key"
    assert refused(keys.derive, Dkga.DES, STA, hmac, PARAMS) == "vending_key"
    unique = keys.derive(Dkga.DES, STA, des, PARAMS)
    assert keys.derive(Dkga.DES, STA, des, common) != unique


@pytest.mark.parametrize(
    "change",
    [
        {"supply_group": "12345"},
        {"supply_group": "12345x"},
        {"tariff_index": 100},
        {"key_revision": 0},
        {"base_year": 2000},
    ],
)
def test_key_parameters_are_those_of_the_standard(change):
    fields = {"pan": PAN, "supply_group": "123457", "tariff_index": 1, "key_revision": 1}
    assert refused(KeyParams, **{**fields, **change}) == "key_params"


def test_the_software_module_serves_test_groups_alone():
    module = StsSoftTest()
    real = KeyParams(PAN, "600000", 1, 1)
    derive = module.derive
    assert refused(derive, Dkga.HMAC, MISTY1, "test-hmac", real) == "real_supply_group"
    assert refused(derive, Dkga.HMAC, MISTY1, "production", PARAMS) == "vending_key"
    assert refused(module.encrypt, KeyHandle("stolen", MISTY1), 0) == "key_handle"
    handle = derive(Dkga.HMAC, MISTY1, "test-hmac", PARAMS)
    assert module.decrypt(handle, module.encrypt(handle, 42)) == 42
    assert not any(key.hex() in handle.id for key in TEST_KEYS.values())


def test_a_cipher_takes_a_key_of_its_length():
    assert refused(DecoderCiphers().cipher, STA, KEY) == "key_params"
    with pytest.raises(ValueError, match="16 bytes"):
        Misty1(KEY[:8])


def test_tables_of_a_licensee_come_from_a_file(tmp_path):
    file = tmp_path / "tables.json"
    tables = {
        name: list(getattr(SAMPLE_TABLES, name))
        for name in ("substitution1", "substitution2", "permutation")
    }
    file.write_text(json.dumps(tables))
    assert load_tables(file) == SAMPLE_TABLES
    for wrong in ("", "[]", "{}", json.dumps({**tables, "permutation": [0] * 64})):
        file.write_text(wrong)
        with pytest.raises(ConfigError):
            load_tables(file)
    with pytest.raises(ConfigError):
        load_tables(tmp_path / "missing.json")


def test_other_tables_make_other_tokens():
    shifted = SAMPLE_TABLES.permutation[1:] + SAMPLE_TABLES.permutation[:1]
    other = type(SAMPLE_TABLES)(SAMPLE_TABLES.substitution1, SAMPLE_TABLES.substitution2, shifted)
    assert Sta(other).encrypt(1, 1) != Sta(SAMPLE_TABLES).encrypt(1, 1)


# -- tokens and vending --------------------


def test_what_does_not_fit_a_token_is_refused():
    assert refused(amounts.encode, 18_201_625) == "amount"
    assert refused(amounts.encode, -1) == "amount"
    assert refused(sts.make, TokenKind.TARIFF_RATE, 1 << 16, tid=1, rnd=1) == "token_field"
    assert refused(sts.make, TokenKind.WATER, 1, tid=1 << 24, rnd=1) == "token_field"
    assert refused(sts.display_block, 0, 1 << 36) == "token_field"
    assert refused(sts.display_block, 2, 1) == "token_field"
    assert refused(amounts.decode, 1, 8) == "amount"


@pytest.mark.parametrize("digits", ["", "1" * 19, "1" * 21, "x" * 20, "9" * 20, "\u0661" * 20])
def test_digits_that_are_no_token_are_refused(digits):
    assert refused(block.from_digits, digits) == "token_format"


def test_a_retry_makes_the_same_token_and_it_reads_back():
    vendor = StsVendor(StsSoftTest(), "test-hmac", random_bits=iter(range(16)).__next__)
    prepared = vendor.prepare(VendRequest(TokenKind.ELECTRICITY, 12345, PARAMS), NOW)
    again = vendor.prepare(VendRequest(TokenKind.ELECTRICITY, 12345, PARAMS), NOW)
    token = vendor.issue(prepared)
    assert vendor.issue(prepared) == token != vendor.issue(again)
    assert vendor.verify(PARAMS, token) == prepared.token
    assert prepared.units >= 12345
    nothing = VendRequest(TokenKind.ELECTRICITY, 0, PARAMS)
    assert refused(vendor.prepare, nothing, NOW) == "amount"


def test_a_token_of_another_meter_does_not_read():
    vendor = StsVendor(StsSoftTest(), "test-hmac", random_bits=lambda: 5)
    token = vendor.issue(vendor.prepare(VendRequest(TokenKind.ELECTRICITY, 1, PARAMS), NOW))
    other = KeyParams(MeterPan.parse("600727111111111153"), "123457", 1, 1)
    assert refused(vendor.verify, other, token) == "token_crc"


# -- the meter --------------------

READER = TokenReader(lambda key: DecoderCiphers().cipher(MISTY1, key))


def token(kind=TokenKind.ELECTRICITY, units=10, tid=100, key=KEY):
    made = sts.make(kind, units, tid=tid, rnd=5)
    return sts.encode(made, Misty1(key))


def test_an_older_token_than_the_store_is_old_and_order_within_it_does_not_matter():
    state = MeterState(KEY, tids=(0,) * 3)
    for tid in (100, 300, 200):
        entry = READER.enter(state, token(tid=tid))
        assert (entry.verdict, entry.added) == (Verdict.ACCEPT, 10)
        state = entry.state
    assert state.credit == 30
    assert READER.enter(state, token(tid=200)).verdict is Verdict.REJECT_USED
    assert READER.enter(state, token(tid=99)).verdict is Verdict.REJECT_OLD
    assert READER.enter(state, token(tid=150)).verdict is Verdict.ACCEPT


def test_a_token_after_the_keys_expiry_is_refused():
    state = MeterState(KEY, key_expiry=1)
    assert READER.enter(state, token(tid=2 << 16)).verdict is Verdict.REJECT_KEY_EXPIRED
    assert READER.enter(state, token(tid=(2 << 16) - 1)).verdict is Verdict.ACCEPT


def test_management_tokens_set_and_clear():
    state = MeterState(KEY, credit=77)
    state = READER.enter(state, token(TokenKind.POWER_LIMIT, 5000, 101)).state
    assert (state.credit, state.settings[TokenKind.POWER_LIMIT]) == (77, 5000)
    state = READER.enter(state, token(TokenKind.CLEAR_CREDIT, 0xFFFF, 102)).state
    assert state.credit == 0
    again = READER.enter(state, token(TokenKind.CLEAR_CREDIT, 0xFFFF, 102))
    assert again.verdict is Verdict.REJECT_USED


def test_a_test_token_is_taken_by_every_meter_and_changes_nothing():
    state = MeterState(KEY)
    entry = READER.enter(state, sts.display_token(0, 1))
    assert (entry.verdict, entry.state) == (Verdict.ACCEPT, state)


def test_tokens_for_other_meters_or_of_other_classes_are_refused():
    state = MeterState(KEY)
    assert READER.enter(state, token(TokenKind.WATER)).verdict is Verdict.REJECT_FUNCTION
    assert READER.enter(state, block.to_digits(3, 1)).verdict is Verdict.REJECT_FUNCTION
    reserved = sts.seal(block.DataBlock(2, 15, 0), Misty1(KEY))
    assert READER.enter(state, reserved).verdict is Verdict.REJECT_FUNCTION


def test_a_rollover_rehearsal_old_tokens_die_and_credit_stays():
    new_key = bytes(range(16, 32))
    change = key_change.KeyChange(
        new_key, 4, KeyType.UNIQUE, 2, "123457", key_expiry=200, rollover=True
    )
    unused = token(tid=9_000_000)
    state = READER.enter(MeterState(KEY), token(tid=8_000_000)).state
    for number, section in sorted(change.sections().items(), reverse=True):
        entry = READER.enter(state, sts.seal(section, Misty1(KEY)))
        partial = number != 1
        assert entry.verdict is (Verdict.ACCEPT_PARTIAL if partial else Verdict.ACCEPT_KEY_CHANGED)
        state = entry.state
    assert (state.key, state.key_expiry, state.credit) == (new_key, 200, 10)
    assert state.tids == (0,) * acceptance.STORE_SIZE
    assert READER.enter(state, unused).verdict is Verdict.REJECT_CRC
    assert READER.enter(state, token(tid=5, key=new_key)).verdict is Verdict.ACCEPT


def test_two_sections_change_a_key_of_the_sta():
    cipher = DecoderCiphers().cipher
    reader = TokenReader(lambda key: cipher(STA, key))
    change = key_change.KeyChange(KEY[8:], 1, KeyType.UNIQUE, 1, "123456")
    state = MeterState(KEY[:8])
    for section in change.sections().values():
        state = reader.enter(state, sts.seal(section, cipher(STA, KEY[:8]))).state
    assert state.key == KEY[8:]
    third = sts.seal(block.DataBlock(2, 8, 0), cipher(STA, state.key))
    assert reader.enter(state, third).verdict is Verdict.REJECT_FUNCTION


def test_credit_does_not_fall_below_zero():
    assert acceptance.consume(MeterState(KEY, credit=5), 9).credit == 0


# -- OpenPAYGO and UTRN --------------------

SECRET = paygo.PaygoKey("bc41ec9530f6dac86b1a29ab82edc5fb")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (paygo.PaygoType.ADD_TIME, None),
        (paygo.PaygoType.ADD_TIME, -1),
        (paygo.PaygoType.SET_TIME, 996),
        (paygo.PaygoType.DISABLE_PAYG, 1),
        (paygo.PaygoType.INVALID, None),
    ],
)
def test_a_solar_token_takes_its_value_and_no_other(kind, value):
    assert refused(paygo.issue, SECRET, 1, kind, value) == "token_field"


@pytest.mark.parametrize("digits", ["", "12345678", "1234567890", "x" * 9, "000000000"])
def test_digits_that_are_no_solar_token_change_nothing(digits):
    device = paygo.PaygoDevice.new()
    entry = paygo.enter(SECRET, device, digits)
    assert (entry.kind, entry.device) == (paygo.PaygoType.INVALID, device)


def test_an_extended_token_of_another_device_is_invalid():
    key = paygo.PaygoKey(SECRET.secret_hex, extended=True)
    entry = paygo.enter(key, paygo.PaygoDevice.new(), "123456789012")
    assert entry.kind is paygo.PaygoType.INVALID


def test_set_time_locks_again_what_was_unlocked():
    device, count = paygo.PaygoDevice.new(), 1
    for kind, value, unlocked in (
        (paygo.PaygoType.DISABLE_PAYG, None, True),
        (paygo.PaygoType.SET_TIME, 3, False),
    ):
        made = paygo.issue(SECRET, count, kind, value)
        device, count = paygo.enter(SECRET, device, made.digits).device, made.count
        assert device.unlocked is unlocked
    assert device.days == 3


def test_a_counter_synchronisation_may_take_the_count_back():
    device = paygo.PaygoDevice(40, (40,))
    made = paygo.issue(SECRET, 4, paygo.PaygoType.COUNTER_SYNC)
    assert paygo.enter(SECRET, device, made.digits).device.count == made.count == 5


@pytest.mark.parametrize("digits", ["", "7" * 18, "0" * 19, "9" * 19, "x" * 19])
def test_digits_that_are_no_top_up_number_are_refused(digits):
    assert refused(utrn.TopUpToken.from_digits, digits) == "token_format"


def test_a_top_up_token_has_room_for_so_much():
    pence = utrn.ValueClass.PENCE
    for fields in ((1024, pence, 0, 0), (0, pence, 8192, 0), (0, pence, 0, 1 << 32)):
        assert refused(utrn.TopUpToken, *fields) == "token_field"


# -- vendors behind one face --------------------


def paygo_vending():
    kept = Keystore(bytes(32))
    return PaygoVending(kept.seal, kept.open)


def test_a_paid_device_takes_each_token_once_and_its_count_never_goes_back():
    vending = paygo_vending()
    secret = "a29ab82edc5fbbc41ec9530f6dac86b1"
    device = vending.device("M1", {"secret_hex": secret, "count": 4})
    assert device == vending.device("M1", {"secret_hex": secret, "count": 4})
    assert device != vending.device("M2", {"secret_hex": secret, "count": 4})
    assert secret not in device
    key, kept, last = paygo.PaygoKey(secret), paygo.PaygoDevice.new(4), None
    wishes = [("add_time", 30), ("add_time", 5), ("counter_sync", 0), ("set_time", 7)]
    for kind, units in [*wishes, ("disable_payg", 0), ("add_time", 1)]:
        made = vending.prepare(device, Asked(kind, units, last, None), NOW)
        digits = vending.issue(made.content)
        assert vending.issue(made.content) == digits
        assert vending.units(made.content) == units
        entry = paygo.enter(key, kept, digits)
        assert (entry.kind.name.lower(), entry.value or 0) == (kind, units)
        assert entry.device.count == made.number > (last or 4)
        again = paygo.enter(key, entry.device, digits)
        assert again.device.days == entry.device.days, "a token does its work once"
        kept, last = entry.device, made.number
    assert (kept.days, kept.unlocked) == (8, True)


@pytest.mark.parametrize(
    ("kind", "units", "last", "code"),
    [
        ("electricity", 1, None, "token_kind"),
        ("add_time", 996, None, "token_field"),
        ("disable_payg", 1, None, "token_field"),
        ("add_time", 1, COUNT_MAX, "token_count"),
    ],
)
def test_what_a_paid_device_does_not_take_is_refused(kind, units, last, code):
    vending = paygo_vending()
    device = vending.device("M1", {"secret_hex": "a29ab82edc5fbbc41ec9530f6dac86b1"})
    assert refused(vending.prepare, device, Asked(kind, units, last, None), NOW) == code
    assert refused(vending.device, "M1", {"secret_hex": "a2"}) == "token_identity"


def test_a_top_up_number_carries_counter_value_and_the_modules_mac():
    vending, module = UtrnVending(UtrnSoftTest()), UtrnSoftTest()
    device = vending.device("M1", {"device": "ffffff0000000001"})
    seen = set()
    for last in (None, 1, 1022, 1023, 2**31 - 2):
        made = vending.prepare(device, Asked("top_up_pence", 500, last, None), NOW)
        token = utrn.TopUpToken.from_digits(vending.issue(made.content))
        assert made.number == (last or 0) + 1
        assert (token.counter, token.value, token.value_class) == (made.number % 1024, 500, 0)
        assert token.mac == module.mac("ffffff0000000001", made.number, token.body)
        seen.add(token.mac)
    assert len(seen) == 5, "the whole counter is in the MAC, not its last ten bits"
    pounds = vending.prepare(device, Asked("top_up_pounds", 8191, 1, None), NOW)
    assert vending.units(pounds.content) == 8191
    for units, code in ((8192, "token_field"), (0, "amount")):
        asked = Asked("top_up_pounds", units, 1, None)
        assert refused(vending.prepare, device, asked, NOW) == code
    assert refused(vending.device, "M1", {"device": "90b3d50000000001"}) == "real_device"
