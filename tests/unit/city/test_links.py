"""Streets and links: the table they were designed by, and the shape of the arrays."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from meter_sim.city.dice import Dice, hash_arrays, hash_ints, normals
from meter_sim.city.layout import build_layout
from meter_sim.city.links import SENSIBLE_TENTHS, build_link_table
from meter_sim.city.oracle import Oracle
from meter_sim.city.profiles import PROFILES, profile_named
from meter_sim.radio import DATA_BYTES, SURE, reception
from ohmesh.model.errors import ConfigError

# Usable links a meter, hops, ETX and meters a square kilometre: docs/mesh-results.md.
DESIGNED = {
    "suburb-easy": (47, 2.2, 2.23, 1344),
    "suburb-mid": (12.4, 4.0, 4.08, 1344),
    "suburb-hard": (6.6, 6.4, 6.61, 1344),
    "rows": (15.8, 3.5, 3.57, 3937),
    "rural": (11.3, 2.4, 2.45, 309),
}


def built(name, meters, seed=1):
    layout = build_layout(PROFILES[name], meters, seed)
    return layout, build_link_table(PROFILES[name].radio, layout, seed)


@pytest.mark.parametrize("name", DESIGNED)
def test_streets_have_the_degree_hops_and_etx_they_were_designed_for(name):
    layout, links = built(name, 3_500)
    oracle, poles = Oracle(links), layout.gateways
    routes = oracle.routes(range(1, poles + 1))
    etx, hops = routes.etx[poles:], routes.hops()[poles:]
    degree, designed_hops, designed_etx, density = DESIGNED[name]
    assert np.isfinite(etx).mean() > 0.998
    # An edge has fewer neighbours; 3 500 meters have more of it than the designed 10 000.
    assert oracle.degree()[poles:].mean() == pytest.approx(degree, rel=0.08)
    assert hops[hops > 0].mean() == pytest.approx(designed_hops, rel=0.12)
    assert etx[np.isfinite(etx)].mean() == pytest.approx(designed_etx, rel=0.12)
    area_km2 = float(layout.x_dm.max()) * float(layout.y_dm.max()) / 1e8
    assert len(layout) / area_km2 == pytest.approx(density, rel=0.1)


def test_a_seed_is_a_city():
    one, again, other = (built("suburb-hard", 300, seed)[1] for seed in (5, 5, 6))
    assert np.array_equal(one.receiver, again.receiver)
    assert np.array_equal(one.rssi_tenths, again.rssi_tenths)
    assert not np.array_equal(one.rssi_tenths[:100], other.rssi_tenths[:100])


def test_tiles_lose_no_pair():
    """Everybody at one place hears everybody; apart, no link is longer than a tile."""
    layout, links = built("suburb-mid", 900)
    model = PROFILES["suburb-mid"].radio
    far = replace(layout, x_dm=layout.x_dm * 0, y_dm=layout.y_dm * 0)
    assert len(build_link_table(model, far, 1).receiver) == len(layout) * (len(layout) - 1)
    senders = links.senders()
    distance_m = (
        np.hypot(
            layout.x_dm[senders] - layout.x_dm[links.receiver],
            layout.y_dm[senders] - layout.y_dm[links.receiver],
        ).max()
        / 10
    )
    assert 200 < distance_m < 600


def test_rows_are_sorted_sensible_and_quantised():
    layout, links = built("suburb-mid", 200)
    assert links.rssi_tenths.min() >= SENSIBLE_TENTHS
    assert links.data.dtype == links.ack.dtype == np.uint16
    for node in (1, 2, 100):
        receivers = list(links.row(node))
        assert receivers == sorted(receivers)
        assert node not in receivers
    level = int(links.rssi_tenths[7])
    assert links.data[7] == min(SURE - 1, reception(level, DATA_BYTES))
    assert links.start[-1] == len(links.receiver) == len(links.data)
    assert len(links) == len(layout)


def test_a_pair_has_the_etx_of_its_table():
    _, links = built("suburb-mid", 100)
    etx, senders = links.etx(), links.senders()
    usable = np.flatnonzero(np.isfinite(etx))
    assert len(usable) > 100
    for at in usable[::40]:
        one, other = int(senders[at]) + 1, int(links.receiver[at]) + 1
        assert links.pair_etx(one, other) == pytest.approx(etx[at])
    assert links.pair_etx(1, 1) == float("inf")


def test_hashes_of_arrays_are_those_of_numbers():
    labels = np.arange(50, dtype=np.uint64)
    found = hash_arrays(hash_ints(9, 4), labels).tolist()
    assert found == [hash_ints(9, 4, n) for n in range(50)]
    assert len(set(found)) == 50


def test_normals_are_normal():
    drawn = normals(hash_arrays(3, np.arange(40_000, dtype=np.uint64)))
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.02)
    for sigma in (-2, -1, 0, 1, 2):
        assert (drawn < sigma).mean() == pytest.approx(norm.cdf(sigma), abs=0.01)


def test_dice_are_fair_and_their_own():
    dice = Dice(1, 2)
    counts = np.bincount([dice.randrange(6) for _ in range(6_000)], minlength=6)
    assert counts.min() > 850
    assert [Dice(1, 2).randrange(1000) for _ in range(3)] == [Dice(1, 2).randrange(1000)] * 3
    assert Dice(1, 2).randrange(10**9) != Dice(2, 1).randrange(10**9)


def test_cellars_and_riser_rooms():
    streets = replace(PROFILES["suburb-mid"], basement_share=0.05, riser_share=0.05)
    layout = build_layout(streets, 2_000, 1)
    assert 0.03 < (layout.gain_db == -12).mean() < 0.07
    plain = build_layout(PROFILES["suburb-mid"], 2_000, 1)
    assert layout.x_dm.max() * layout.y_dm.max() < 0.7 * plain.x_dm.max() * plain.y_dm.max()


def test_there_must_be_somebody_and_a_known_profile():
    with pytest.raises(ConfigError, match="1 to"):
        build_layout(PROFILES["rows"], 0, 1)
    with pytest.raises(ConfigError, match="suburb-mid"):
        profile_named("moon")
