"""Meters' keys at rest."""

from __future__ import annotations

import pytest

from headend.keystore import Keystore
from ohmesh.model.errors import ConfigError

KEY = bytes(range(16))


def test_a_key_comes_back_and_is_not_in_what_is_stored():
    store = Keystore(bytes(32))
    sealed = store.seal("M1", KEY)
    assert store.open("M1", sealed) == KEY
    assert KEY not in sealed
    assert store.seal("M1", KEY) == sealed, "a repeated registration is recognised"
    assert store.seal("M2", KEY)[13:] != sealed[13:]
    assert store.seal("M1", bytes(16))[:13] != sealed[:13]


@pytest.mark.parametrize("index", range(0, 45, 4))
def test_an_altered_byte_is_noticed(index):
    store = Keystore(bytes(32))
    sealed = bytearray(store.seal("M1", KEY))
    sealed[index] ^= 1
    with pytest.raises(ConfigError, match="M1"):
        store.open("M1", bytes(sealed))


def test_another_meter_or_another_kek_does_not_open_it():
    sealed = Keystore(bytes(32)).seal("M1", KEY)
    for store, meter in ((Keystore(bytes(32)), "M2"), (Keystore(b"\1" * 32), "M1")):
        with pytest.raises(ConfigError):
            store.open(meter, sealed)
    for junk in (b"", b"\x01", bytes(12), b"\x01" + bytes(12)):
        with pytest.raises(ConfigError):
            Keystore(bytes(32)).open("M1", junk)


def test_an_older_kek_opens_and_the_first_one_seals():
    old, new = Keystore(bytes(32)), Keystore(b"\1" * 32)
    both = Keystore(b"\1" * 32, bytes(32))
    before = old.seal("M1", KEY)
    assert both.open("M1", before) == KEY
    assert both.seal("M1", KEY) == both.seal_anew("M1", before) == new.seal("M1", KEY)
    assert both.seal_anew("M1", new.seal("M1", KEY)) is None
    with pytest.raises(ConfigError):
        new.seal_anew("M1", before)


def test_the_file_must_hold_64_hex_digits(tmp_path):
    file = tmp_path / "kek"
    for text in ("", "00", "zz" * 32, "00" * 33):
        file.write_text(text)
        with pytest.raises(ConfigError):
            Keystore.from_file(file)
    file.write_text("00" * 32 + "\n")
    assert Keystore.from_file(file).seal("M1", KEY) == Keystore(bytes(32)).seal("M1", KEY)
    file.write_text("01" * 32 + "\n" + "00" * 32 + "\n")
    assert Keystore.from_file(file).open("M1", Keystore(bytes(32)).seal("M1", KEY)) == KEY
    with pytest.raises(ConfigError):
        Keystore.from_file(tmp_path / "absent")
