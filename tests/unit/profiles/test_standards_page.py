"""docs/standards.md says what the codecs do with the captured telegrams."""

import importlib.util
import json
from pathlib import Path

import pytest

from firmware_profiles.conformance.score import Score, score

ROOT = Path(__file__).resolve().parents[3]
DIFFERENCE = "680707680800780261d204b916"
"""A wired frame of one record: a temperature difference of 12.34 K."""


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("standards", ROOT / "docs/generate_standards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.CAPTURED.exists():
        pytest.skip("no captured telegrams are here")
    return module


def halves(page):
    return page.PAGE.read_text(encoding="utf-8").split(f"\n{page.MARK}\n")


def test_the_scores_are_current(page):
    assert halves(page)[0] == page.scores_part(), "run python docs/generate_standards.py"


@pytest.mark.soak
def test_the_tiers_are_current(page):
    assert halves(page)[1] == page.tiers_part(), "run python docs/generate_standards.py"


def test_every_telegram_that_does_not_pass_is_explained_and_no_other(page):
    missed = {name for found in page.found_scores().values() for name in found.missed}
    left = {name for name in page.NOTES["explained"] if name not in missed}
    refused_in_words = {
        "ch-lg-e450-unencrypted-invalid-data",
        "el-bad-ehd1",
        "el-short-edt",
    }
    assert missed - set(page.NOTES["explained"]) == set()
    assert left == refused_in_words


def written(tmp_path, *records):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return [path]


def record(name, number, unit="degC", **more):
    expected = {"difference": {"value": number, "unit": unit}, **more}
    return {"id": name, "standard": "mbus", "telegram_hex": DIFFERENCE, "expected": expected}


def test_a_score_counts_telegrams_and_numbers(tmp_path):
    paths = written(tmp_path, record("a", 12.34), record("b", 12.34, "K"), record("c", 12.5))
    assert score(paths) == {"mbus": Score(3, 2, 3, 2, ("c",))}


def test_what_must_be_refused_passes_when_it_is(tmp_path):
    accepted = record("a", 12.34, checksum_valid={"value": False})
    refused = {**accepted, "id": "b", "telegram_hex": DIFFERENCE[:-4] + "0016"}
    assert score(written(tmp_path, accepted, refused)) == {"mbus": Score(2, 1, 0, 0, ("a",))}


def test_a_source_may_state_joules_in_watt_hours(tmp_path):
    frame = bytes.fromhex("0800 78 040e 01000000")
    octets = bytes((0x68, len(frame), len(frame), 0x68)) + frame + bytes((sum(frame) & 255, 0x16))
    telegram = {
        "id": "j",
        "standard": "mbus",
        "telegram_hex": octets.hex(),
        "expected": {"energy": {"value": 0.2778, "unit": "kWh"}},
    }
    assert score(written(tmp_path, telegram))["mbus"].passed == 1
