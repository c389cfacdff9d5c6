"""Tenders, and new profiles."""

import os
import subprocess
import sys
from datetime import date

import pytest

from firmware_profiles import cli, registry, scaffold, tender
from ohmesh.model.errors import ProfileError

PROFILES = tuple(map(registry.load, registry.names()))
TODAY = date(2026, 11, 22)
DEMO = scaffold.NewProfile("xx_demo", "XX", "Europe/Oslo", "Demo land")


def matched(**demand):
    return tender.match(tender.Demand(**demand), PROFILES)


def test_country_and_commodity_select():
    found = matched(country="NL", commodity="gas").profiles
    assert "nl_dsmr" in found
    assert "de_sml" not in found
    assert "fr_linky" in matched(country="FR", commodity="electricity").profiles


def test_a_transport_selects_standards():
    found = matched(country="DE", transport="optical").profiles
    assert found["de_sml"] == ("sml", "iec62056-21")
    assert "de_sml" not in matched(country="DE", transport="wmbus").profiles


def test_what_is_not_installed_is_missing():
    answer = matched(country="NL", transport="mesh", prepayment="balance")
    assert any("driver mesh" in part for part in answer.met)
    assert any("prepayment balance" in part for part in answer.met)
    assert matched(country="GB", transport="dcc").missing
    assert matched(country="QQ", commodity="heat", transport="p1").missing


@pytest.mark.parametrize("field", ["commodity", "transport", "prepayment"])
def test_an_unknown_word_is_refused(field):
    with pytest.raises(ProfileError, match=field if field != "prepayment" else "known are"):
        matched(**{field: "smoke"})


def test_every_standard_of_our_profiles_travels_somehow():
    unknown = {
        standard
        for profile in PROFILES
        for standard in profile.spec.standards
        if tender.transports_of(standard) == ("mesh",)
    }
    assert unknown == set(), "add them to standards.toml"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Demo"},
        {"name": "a b"},
        {"name": "../x"},
        {"country": "Norway"},
        {"zone": "Mars/Base"},
        {"title": 'say "hi"'},
    ],
)
def test_a_bad_name_is_refused(change):
    fields = {"name": "xx_demo", "country": "XX", "zone": "UTC", "title": "Demo"} | change
    with pytest.raises(ProfileError):
        scaffold.contents(scaffold.NewProfile(**fields), TODAY)


def installed(folder):
    """The environment in which the package in a folder is installed, as pip would leave it."""
    info = folder / "ohmesh_profile_xx_demo-0.1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Name: ohmesh-profile-xx-demo\nVersion: 0.1.0\n")
    info.joinpath("entry_points.txt").write_text(
        "[ohmesh.profiles]\nxx_demo = ohmesh_profile_xx_demo:profile\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


def run(environment, *words):
    code = f"from ohmesh.cli import main; raise SystemExit(main({list(words)!r}))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_new_package_is_found_and_reaches_bronze(tmp_path, capsys):
    folder = tmp_path / "demo"
    words = ["new", "xx_demo", "--country", "XX", "--zone", "Europe/Oslo", "--into", str(folder)]
    assert cli.main(words) == 0
    assert str(folder) in capsys.readouterr().out
    with pytest.raises(ProfileError, match="already"):
        cli.main(words)
    environment = installed(folder)
    listed = run(environment, "profiles", "list")
    assert "xx_demo" in listed.stdout, listed.stderr
    report = tmp_path / "demo.html"
    judged = run(environment, "profiles", "conformance", "xx_demo", "--report", str(report))
    assert judged.stdout.startswith("xx_demo: bronze"), judged.stdout + judged.stderr
    assert judged.returncode == 0
    assert "xx_demo" in report.read_text(encoding="utf-8")
    higher = run(environment, "profiles", "conformance", "xx_demo", "--require", "silver")
    assert higher.returncode == 1


def test_the_command_answers_a_tender(capsys):
    assert cli.main(["match", "--country", "NL", "--commodity", "gas", "--transport", "mesh"]) == 0
    assert "profile nl_dsmr" in capsys.readouterr().out
    assert cli.main(["match", "--country", "GB", "--transport", "dcc"]) == 1
    assert "missing" in capsys.readouterr().out


def test_missing_vectors_are_wrong_use(capsys):
    assert cli.main(["conformance", "de_sml", "--vectors", "/nowhere.jsonl"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_package_that_cannot_be_loaded_is_named_and_hides_no_other(tmp_path):
    broken = tmp_path / "ohmesh_profile_xx_demo"
    broken.mkdir()
    broken.joinpath("__init__.py").write_text("import nothing_of_this_name\n")
    listed = run(installed(tmp_path), "profiles", "list")
    assert listed.returncode == 1
    assert len(listed.stdout.splitlines()) == len(registry.names())
    assert listed.stderr.count("\n") == 1
    assert "profile xx_demo: ohmesh_profile_xx_demo:profile cannot be loaded" in listed.stderr
