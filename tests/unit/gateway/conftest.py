"""An outbox file in an empty folder, and telegrams to put in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from gateway.outbox_start import open_outbox
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.outbox_file import OutboxFile

MIB = 1024 * 1024


def make_telegram(number: int, *, size: int = 20) -> Telegram:
    """A telegram that differs from every other number's."""
    payload = number.to_bytes(8, "big") + b"x" * (size - 8)
    meter = Address(f"M{number:05d}")
    return Telegram(TelegramKind.METER, "bench", meter, "", 1_000_000 + number, payload)


@pytest.fixture
def telegram():
    return make_telegram


@pytest.fixture
def telegrams():
    return lambda *numbers: [make_telegram(n) for n in numbers]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def opened(path):
    """Open the outbox; whatever is open at the end is closed."""
    with contextlib.ExitStack() as stack:

        def open_(max_bytes: int = MIB) -> OutboxFile:
            file = open_outbox(path, max_bytes=max_bytes)
            stack.callback(file.close)
            return file

        yield open_
