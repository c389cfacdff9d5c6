"""The link estimate."""

import pytest

from ohmesh.mesh import etx


@pytest.mark.parametrize(
    ("rssi", "guess"),
    [(-40, 136), (-101, 136), (-102, 170), (-103, 243), (-104, 375), (-105, 512), (-130, 512)],
)
def test_first_guess(rssi, guess):
    assert etx.from_rssi(rssi) == guess


@pytest.mark.parametrize(
    ("before", "attempts", "ok", "samples", "after"),
    [
        (160, 1, True, 0, 144),  # first sample weighs a half
        (256, 1, True, 1, 224),  # young: a quarter
        (256, 1, True, 4, 243),  # old: a tenth, rounded down
        (128, 1, True, 9, 128),
        (128, 8, False, 9, 268),  # 8 + 4 attempts charged
        (1024, 8, False, 9, 1024),  # ceiling
    ],
)
def test_fold(before, attempts, ok, samples, after):
    assert etx.fold(before, attempts=attempts, ok=ok, samples=samples) == after


def test_a_perfect_link_comes_back_to_one():
    value = 1024
    for samples in range(5, 60):
        value = etx.fold(value, attempts=1, ok=True, samples=samples)
    assert value == 128
