"""The conformance kit: it passes what is right and names what is wrong."""

import json
from dataclasses import replace

import pytest

from firmware_profiles import registry
from firmware_profiles.conformance import ProfileConformance, Tier, judge, load_vectors
from firmware_profiles.conformance.report import as_html, as_text
from firmware_profiles.de_sml.profile import DeSml
from firmware_profiles.records import RecordError
from ohmesh.model.errors import DecodeError, DecodeErrorKind

SML = registry.load("de_sml")
PACKAGE = "firmware_profiles.de_sml"


class TestTheKitItself(ProfileConformance):
    """As a plug-in's author writes it."""

    profile = registry.load("fr_linky")


@pytest.mark.parametrize("name", registry.names())
def test_every_profile_reaches_bronze(name):
    verdict = judge(registry.load(name))
    assert verdict.tier is Tier.BRONZE, as_text(verdict)


def test_captured_telegrams_lift_a_profile_to_silver(shared):
    files = [shared / "telegrams" / "sml.jsonl"]
    verdict = judge(SML, load_vectors(files, SML.spec))
    assert verdict.tier is Tier.SILVER, as_text(verdict)


def failed(verdict):
    return {finding.name for finding in verdict.findings if finding.passed is False}


class Changed(DeSml):
    """A profile with one fault."""

    def __init__(self, fault):
        super().__init__(PACKAGE)
        self._fault = fault

    def decode(self, payload, *, keys=None, verify=True):
        return self._fault(super().decode(payload, keys=keys, verify=verify))


def test_a_wrong_value_is_seen():
    def off_by_one(decoded):
        return replace(
            decoded, readings=tuple(replace(r, value=r.value + 1) for r in decoded.readings)
        )

    verdict = judge(Changed(off_by_one))
    assert verdict.tier is Tier.NONE
    assert "reports come back" in failed(verdict)


def test_a_wrong_time_is_seen():
    def an_hour_late(decoded):
        late = tuple(replace(r, time=r.time.replace(year=1999)) for r in decoded.readings)
        return replace(decoded, readings=late)

    assert "reports come back" in failed(judge(Changed(an_hour_late)))


class Leaky(DeSml):
    """A profile whose decoder leaks another error, now and then."""

    def decode(self, payload, *, keys=None, verify=True):
        if len(payload) == 50:
            raise IndexError("list index out of range")
        return super().decode(payload, keys=keys, verify=verify)


def test_another_error_is_seen():
    verdict = judge(Leaky(PACKAGE))
    assert {"own telegrams survive damage", "any bytes end well"} <= failed(verdict)
    assert "IndexError" in as_text(verdict)


class Long(DeSml):
    """A profile whose telegrams are too long for the mesh."""

    def encode(self, report):
        return bytes(200) + super().encode(report)


def test_a_long_telegram_is_seen():
    assert failed(judge(Long(PACKAGE))) >= {"reports fit a mesh frame"}


def vector(**fields):
    return {"id": "v", "standard": "sml", "country": "DE", "maker": "M", "source": "S"} | fields


def load(tmp_path, *records):
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in records), encoding="utf-8")
    return load_vectors([path], SML.spec)


@pytest.mark.parametrize(
    ("value", "read"), [(607.4471, True), (607.447, True), (607.45, True), (607.44, False)]
)
def test_a_value_counts_to_its_last_place(tmp_path, shared, value, read):
    line = (shared / "telegrams" / "sml.jsonl").read_text(encoding="utf-8").splitlines()[0]
    payload = json.loads(line)["telegram_hex"]
    expected = {"1-0:1.8.0": {"value": value, "unit": "kWh"}}
    vectors = load(tmp_path, vector(telegram_hex=payload, expected=expected))
    assert ("captured telegrams are read" not in failed(judge(SML, vectors))) is read


def test_a_telegram_that_must_be_refused(tmp_path):
    class Lax(DeSml):
        def decode(self, payload, *, keys=None, verify=True):
            return super().decode(payload, keys=keys, verify=False) if verify else None

    bad = vector(telegram_hex="1b1b1b1b01010101" + "1b1b1b1b1a00dead", expected={"error": {}})
    vectors = load(tmp_path, bad)
    assert "captured telegrams are read" not in failed(judge(SML, vectors))
    assert "captured telegrams are read" in failed(judge(Lax(PACKAGE), vectors))


def test_vectors_of_others_are_left_out(tmp_path):
    mine = vector(telegram_hex="00")
    assert len(load(tmp_path, mine, vector(standard="wmbus"), vector(country="FR"))) == 1


@pytest.mark.parametrize("line", ["[1]", "{", json.dumps(vector(telegram_hex="xy"))])
def test_a_bad_file_is_named(tmp_path, line):
    path = tmp_path / "v.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(RecordError):
        load_vectors([path], SML.spec)


def test_the_page_is_whole_and_escaped():
    spec = replace(SML.spec, title="<b>")
    verdict = replace(judge(SML), title=spec.title)
    page = as_html(verdict, spec, "1.0")
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + len(verdict.findings)
    assert "bronze" in page


def test_a_profile_without_a_meter_is_not_judged_by_one():
    verdict = judge(registry.load("gb_smets"))
    assert [f.passed for f in verdict.findings[:5]] == [True, None, None, None, True]


def test_the_refusal_of_a_codec_is_no_fault():
    def refuse(_decoded):
        raise DecodeError(DecodeErrorKind.UNSUPPORTED, "all of it")

    assert "any bytes end well" not in failed(judge(Changed(refuse)))
