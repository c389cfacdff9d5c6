"""Captured telegrams of the self-written codecs: values, refusals, and any damage done to them."""

from decimal import Decimal

import pytest

from firmware_profiles import registry
from firmware_profiles.codecs.units import text_unit
from ohmesh.model.errors import DecodeError, ModelError
from ohmesh.model.obis import Obis

PROFILES = {
    "sml": "de_sml",
    "iec62056-21": "de_sml",
    "linky-tic-historic": "fr_linky",
    "linky-tic-standard": "fr_linky",
    "echonet-lite-broute": "jp_broute",
    "dlt645-2007": "cn_645",
    "dlt698-45": "cn_645",
    "modbus-rtu": "modbus",
    "gbcs": "gb_smets",
}
FILES = list(PROFILES)
UNKNOWN_METER = {"mb-cn-zero"}
"""A panel ammeter of unnamed make: no map says what its registers are."""
REFUSED = ("checksum_valid", "crc_valid", "error")
DAMAGE = (0x01, 0xFF)


def exchange(record, payload):
    """A Modbus answer has no meaning without its request, which stands before it."""
    return bytes.fromhex(record.get("request_hex", "")) + payload(record)


def records_of(shared_records, name):
    records = shared_records(f"{name}.jsonl")
    assert records
    return records


def profile_of(record):
    return registry.load(PROFILES[record["standard"]])


def must_be_refused(record):
    expected = record["expected"]
    return any(
        name in expected and expected[name]["value"] in (False, "must be rejected")
        for name in REFUSED
    )


def obis_of(name, entry):
    """The code that the source names, as C.D.E, when it is one."""
    text = entry.get("obis") or name
    try:
        obis = Obis.parse(text)
    except ModelError:
        return None
    return (obis.c, obis.d, obis.e) if "." in text else None


def wanted(record):
    """(name, C.D.E or None, quantity, unit) of every expected number with a physical unit."""
    for name, entry in record["expected"].items():
        known = text_unit((entry["unit"] or "").replace("Deg", "deg"))
        values = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
        for value in values:
            if known and isinstance(value, (int, float)):
                exact = Decimal(str(value))
                last_place = Decimal(1).scaleb(exact.as_tuple().exponent + known[1])
                yield name, obis_of(name, entry), exact.scaleb(known[1]), last_place, known[0]


@pytest.mark.parametrize("name", FILES)
def test_every_expected_value_is_read(name, shared_records, payload):
    for record in records_of(shared_records, name):
        if must_be_refused(record) or record["id"] in UNKNOWN_METER:
            continue
        readings = profile_of(record).decode(exchange(record, payload)).readings
        have = [(r.register.obis, r.register.unit, r.quantity) for r in readings]
        for label, cde, quantity, last_place, unit in wanted(record):
            near = [
                (obis, value)
                for obis, its_unit, value in have
                if its_unit is unit and abs(value - quantity) <= last_place / 2
            ]
            assert near, f"{record['id']}: {label} = {quantity} {unit} not among {have}"
            assert cde is None or cde in [(o.c, o.d, o.e) for o, _ in near], record["id"]


@pytest.mark.parametrize("name", FILES)
def test_a_published_fault_is_refused(name, shared_records, payload):
    for record in records_of(shared_records, name):
        if must_be_refused(record):
            with pytest.raises(DecodeError):
                profile_of(record).decode(exchange(record, payload))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_telegram_cut_anywhere_ends_in_a_value_or_an_error(name, verify, shared_records, payload):
    for record in records_of(shared_records, name):
        profile, octets = profile_of(record), exchange(record, payload)
        for end in range(len(octets)):
            ends_well(profile, octets[:end], verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_telegram_with_a_damaged_byte_ends_well(name, verify, shared_records, payload):
    for record in records_of(shared_records, name):
        profile, octets = profile_of(record), exchange(record, payload)
        for position in range(len(octets)):
            for damage in DAMAGE:
                damaged = bytearray(octets)
                damaged[position] ^= damage
                ends_well(profile, bytes(damaged), verify=verify)


def ends_well(profile, octets, *, verify):
    """It ends in a value or a DecodeError; any other exception fails the test by itself."""
    offset = 0
    try:
        profile.decode(octets, verify=verify)
    except DecodeError as error:
        offset = error.offset
    assert 0 <= offset <= len(octets)
