"""Telegrams to be mutilated: the samples that ship with the package, and captured ones."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from firmware_profiles.records import RecordError, parse_record

SHARED = Path(__file__).resolve().parents[4] / "shared" / "telegrams"


def _records(text):
    for line in text.splitlines():
        try:
            yield parse_record(json.loads(line), json.loads(line)["id"])
        except RecordError:
            continue


@pytest.fixture(scope="session")
def samples():
    """The records that ship with the package."""
    path = files("firmware_profiles.samples").joinpath("telegrams.jsonl")
    return list(_records(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def captured():
    """A function: file name -> records; it skips the test when the file is not there."""

    def load(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return list(_records(path.read_text(encoding="utf-8")))

    return load
