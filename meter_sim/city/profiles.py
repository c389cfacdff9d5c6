"""The streets of docs/mesh-results.md: how lots, radio and gateways are laid out."""

from __future__ import annotations

from dataclasses import dataclass

from meter_sim.radio import RadioModel
from ohmesh.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CityProfile:
    """One kind of neighbourhood.

    Attributes:
        name: as on the command line.
        frontage_m: width of a lot.
        depth_m: depth of a lot; two lots lie back to back.
        block_m: length of a block along the street.
        nodes_per_gateway: meters a gateway serves.
        radio: surroundings and equipment.
        basement_share: share of meters in a cellar, 12 dB worse.
        riser_share: share of lots that are a riser room of 8 to 40 meters.
    """

    name: str
    frontage_m: int
    depth_m: int
    block_m: int
    nodes_per_gateway: int
    radio: RadioModel
    basement_share: float = 0.0
    riser_share: float = 0.0


def _radio(exponent: float, shadow_db: float, end_loss_db: float) -> RadioModel:
    return RadioModel(
        exponent=exponent,
        shadow_db=shadow_db,
        end_loss_db=end_loss_db,
        transmit_dbm=14.0,
        rate_kbps=50,
    )


LIMITS = (
    "limits: synthetic streets, static positions, one channel without hopping, collisions by "
    "statistics on the fused radio, reception model not fitted to field data"
)
"""Said with every result."""
PROFILES = {
    profile.name: profile
    for profile in (
        CityProfile("suburb-easy", 18, 30, 180, 858, _radio(3.8, 7, 6)),
        CityProfile("suburb-mid", 18, 30, 180, 858, _radio(4.0, 8, 10)),
        CityProfile("suburb-hard", 18, 30, 180, 858, _radio(4.3, 8, 10)),
        CityProfile("rows", 7, 25, 140, 838, _radio(4.2, 8, 12)),
        CityProfile("rural", 45, 60, 450, 254, _radio(3.8, 8, 6)),
    )
}
"""Name -> profile; no riser rooms and cellars, as in the table they are judged by."""


def profile_named(name: str) -> CityProfile:
    """The profile of a name. Raises ConfigError."""
    if name not in PROFILES:
        raise ConfigError(f"there is no profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
