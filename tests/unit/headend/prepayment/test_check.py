"""`ohmesh check prepayment`: the shared vectors pass, and it can fail."""

from __future__ import annotations

import json

import pytest

from headend.check import prepayment, vectors
from headend.check.cli import main

CHECKS = prepayment.checks(None)


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_every_group_of_the_shared_vectors_passes(shared, capsys):
    assert main([str(shared / "prepayment" / "vectors.json")]) == 0
    summary = last_line(capsys)
    assert summary["failed"] == 0
    assert summary["passed"] == sum(g["passed"] for g in summary["groups"].values()) > 300
    assert all(group["passed"] for group in summary["groups"].values())


def write(tmp_path, groups, schema=vectors.SCHEMA):
    file = tmp_path / "vectors.json"
    content = {"schema": schema, "groups": {n: {"vectors": v} for n, v in groups.items()}}
    file.write_text(json.dumps(content))
    return str(file)


def test_an_unknown_group_fails_and_does_not_stop_the_others(tmp_path, capsys):
    good = {"id": "a", "input_hex": "000b19eb230100", "crc": "c207"}
    file = write(tmp_path, {"astrology": [{"id": "x"}, {"id": "y"}], "sts_crc16": [good]})
    assert main([file]) == 1
    groups = last_line(capsys)["groups"]
    assert groups == {
        "astrology": {"passed": 0, "failed": 2},
        "sts_crc16": {"passed": 1, "failed": 0},
    }


def test_a_wrong_value_fails_with_its_difference(tmp_path, capsys):
    file = write(
        tmp_path, {"sts_crc16": [{"id": "a", "input_hex": "000b19eb230100", "crc": "ffff"}]}
    )
    assert main([file]) == 1
    assert "a: crc: expected 'ffff', got 'c207'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "vector", [{"id": "x"}, {"id": "x", "input_hex": "zz", "crc": "0"}, {}], ids=str
)
def test_a_vector_that_breaks_the_code_fails_alone(vector):
    good = {"id": "a", "input_hex": "000b19eb230100", "crc": "c207"}
    result = vectors.judge("sts_crc16", [vector, good], CHECKS["sts_crc16"])
    assert (result.passed, result.failed) == (1, 1)


def test_a_group_without_vectors_fails():
    assert vectors.judge("sts_crc16", [], CHECKS["sts_crc16"]).failed == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other/1", "groups": {}}', "nope"])
def test_another_file_is_wrong_use(tmp_path, capsys, text):
    file = tmp_path / "file.json"
    file.write_text(text)
    assert main([str(file)]) == 2
    assert "no file of prepayment vectors" in (err := capsys.readouterr().err) or "schema" in err


def test_a_missing_file_is_wrong_use(tmp_path, capsys):
    assert main([str(tmp_path / "missing.json")]) == 2
    assert capsys.readouterr().err.endswith("missing.json: No such file or directory\n")


@pytest.mark.parametrize("group", sorted(CHECKS))
def test_each_group_can_fail(shared, group):
    """Every vector of a group, with its results changed, is told apart from the good one."""
    found = vectors.load(shared / "prepayment" / "vectors.json")[group]
    broken = [_broken(vector) for vector in found]
    result = vectors.judge(group, broken, CHECKS[group])
    assert result.failed == len(found), result


RESULTS = {
    "crc", "field16", "tid", "tid_hex", "decoder_key", "cipher", "data_block", "valid",
    "new_count", "count_after", "ptut_hex", "next_state", "exact_wh", "permitted",
    "adjustment_total_mu", "error",
}  # fmt: skip


def _broken(value):
    """The same with results that cannot be right."""
    if isinstance(value, list):
        return [_broken(v) for v in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, field in value.items():
        if name in RESULTS and not ("new_decoder_key" in value and name == "decoder_key"):
            made[name] = "wrong"
        elif name == "expect" and isinstance(field, dict):
            made[name] = dict.fromkeys(field, "wrong")
        elif name == "expect":
            made[name] = "wrong"
        else:
            made[name] = _broken(field)
    return made
