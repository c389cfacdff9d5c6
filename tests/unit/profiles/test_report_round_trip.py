"""What a simulated meter of each profile sends is what comes out again."""

from datetime import UTC, datetime

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Keys, Report
from firmware_profiles.lu_smarty.profile import AUTHENTICATION_KEY, seal
from firmware_profiles.records import parse_record
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

NAMES = ["nl_dsmr", "be_emucs", "se_h1", "lu_smarty", "no_han", "at_dlms", "ch_dlms"]
NAMES += ["kr_dlms", "in_is15959", "za_gh_sts"]
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
FRAME_MAX = 140


def report(profile, channels, *, value=4321, meter="mesh-0000002a"):
    registers = profile.spec.registers
    return Report(meter, NOON, tuple(Reading(registers[c], value, NOON) for c in channels))


@pytest.mark.parametrize("name", NAMES)
def test_the_short_telegram_fits_a_mesh_frame_and_comes_back(name):
    profile = registry.load(name)
    assert {"el.energy.import", "el.energy.export"} <= set(profile.spec.reported)
    wanted = report(profile, profile.spec.reported, value=999_999_999)
    payload = profile.encode(wanted)
    assert len(payload) <= FRAME_MAX
    decoded = profile.decode(payload)
    assert decoded.readings == wanted.readings
    assert decoded.time == NOON


@pytest.mark.parametrize("name", NAMES)
def test_every_register_of_the_profile_comes_back(name):
    profile = registry.load(name)
    wanted = report(profile, profile.spec.registers, value=230)
    decoded = profile.decode(profile.encode(wanted))
    found = {r.register.channel: r.quantity for r in decoded.readings}
    assert found == {r.register.channel: r.quantity for r in wanted.readings}
    assert {r.time for r in decoded.readings} == {NOON}


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_of_another_country_is_refused(name):
    foreign = Register("hca.units", Obis.parse("4-0:1.0.0"), Unit.HCA, 0)
    with pytest.raises(ProfileError, match="hca"):
        registry.load(name).encode(Report("m", NOON, (Reading(foreign, 1, NOON),)))


def test_a_swiss_value_finer_than_its_list_is_refused():
    profile = registry.load("ch_dlms")
    register = Register("el.current.l1", Obis.parse("1-0:31.7.0"), Unit.A, -3)
    with pytest.raises(ProfileError, match="finer"):
        profile.encode(Report("m", NOON, (Reading(register, 1, NOON),)))


KEY = bytes(range(16))


def test_luxembourg_seals_and_opens():
    profile = registry.load("lu_smarty")
    wanted = report(profile, profile.spec.registers, value=230)
    sealed = seal(profile.encode(wanted), KEY, title=b"OHM\0\0\0\0\1", counter=9)
    decoded = profile.decode(sealed, keys=Keys(KEY))
    assert [r.quantity for r in decoded.readings] == [r.quantity for r in wanted.readings]
    assert decoded.counter == 9
    assert profile.decode(sealed, keys=Keys(KEY, AUTHENTICATION_KEY)).counter == 9
    refused = [
        (None, DecodeErrorKind.KEY),
        (Keys(bytes(16)), DecodeErrorKind.KEY),
        (Keys(KEY, bytes(16)), DecodeErrorKind.KEY),
        (Keys(KEY, counter_floor=9), DecodeErrorKind.REPLAY),
    ]
    for keys, kind in refused:
        with pytest.raises(DecodeError) as caught:
            profile.decode(sealed, keys=keys)
        assert caught.value.kind is kind


@pytest.mark.parametrize(
    "name", ["dlms-hdlc-push.jsonl", "dlms-mbus-push.jsonl", "dsmr-p1-encrypted.jsonl"]
)
def test_captured_values(name, shared_records):
    for fields in shared_records(name):
        record = parse_record(fields, fields["id"])
        if "error" in fields["expected"]:
            with pytest.raises(DecodeError, match="no block transfer is complete"):
                record.decode()
            continue
        found = [(r.register.unit.value, float(r.quantity)) for r in record.decode().readings]
        for label, entry in fields["expected"].items():
            unit = entry["unit"] or ""
            if unit[-2:] in {"Wh", "rh"} or unit[-1:] in {"W", "r", "V", "A"}:
                factor = 1000 if unit.startswith("k") else 1
                wanted = (unit.removeprefix("k"), pytest.approx(entry["value"] * factor))
                assert wanted in found, (fields["id"], label)
