"""The utility's map on the earth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.web.geography import Box, Origin

ORIGINS = st.builds(Origin, st.floats(-85, 85), st.floats(-180, 180))
METRES = st.floats(-1e5, 1e5)


@given(ORIGINS, METRES, METRES)
def test_there_and_back(origin, x_m, y_m):
    assert origin.metres(*origin.degrees(x_m, y_m)) == pytest.approx((x_m, y_m), abs=1e-3)


def test_north_is_up_and_a_degree_shrinks_towards_the_pole():
    longitude, latitude = Origin(60.0, 10.0).degrees(55_660.0, 111_320.0)
    assert (longitude, latitude) == pytest.approx((11.0, 61.0))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 5000))
def test_cells_fill_the_box(wide, tall, cells):
    side = Box(0, 0, wide, tall).cell_m(cells)
    assert side >= 1
    assert wide * tall / side**2 <= cells + 1
