"""Pages about profiles say what the profiles' data say."""

import importlib.util
from pathlib import Path

import pytest

from firmware_profiles import pages, registry
from firmware_profiles.conformance import Tier, judge
from firmware_profiles.conformance.report import as_text

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "ohmesh-profile-xx-village"


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate_profiles.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_profiles():
    there = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "docs/profiles").glob("*.md")}
    assert there == generator().contents(), "run python docs/generate_profiles.py"


@pytest.mark.parametrize("name", registry.names())
def test_a_page_states_evidence_registers_and_rules(name):
    spec = registry.load(name).spec
    text = pages.page(spec)
    assert f"Evidence: {spec.evidence}." in text
    assert all(f"| {channel} | {r.obis} |" in text for channel, r in spec.registers.items())
    assert all(rule.summary in text and rule.source in text for rule in spec.rules)


def test_the_example_reaches_bronze(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    profile = importlib.import_module("ohmesh_profile_xx_village").profile()
    verdict = judge(profile)
    assert verdict.tier is Tier.BRONZE, as_text(verdict)
    assert list(EXAMPLE.glob("tests/test_*.py"))
