"""Telegrams captured from real meters, where they are at hand beside the checkout."""

import json
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared" / "telegrams"


@pytest.fixture(scope="session")
def shared_records():
    """A function: file name -> its records; it skips the test when the file is not there."""

    def load(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]

    return load


def payload_of(record):
    """The bytes of a record."""
    if "telegram_hex" in record:
        return bytes.fromhex(record["telegram_hex"])
    return record["telegram_text"].encode("latin-1")


@pytest.fixture(scope="session")
def payload():
    """The function `payload_of`."""
    return payload_of
