"""TIC labels with a number: which OBIS code and unit they are.

Source: Enedis-NOI-CPT_54E (Linky), Enedis-NOI-CPT_02E (older meters). The OBIS codes are ours;
those of the distributor's tariff (EASD) use the range of group E that is free for utilities.
"""

from __future__ import annotations

from typing import NamedTuple

from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit


class Label(NamedTuple):
    """OBIS code, unit and decimal exponent of a label, and its digits when it is written."""

    obis: Obis
    unit: Unit
    exponent: int = 0
    digits: int = 9


def _label(obis: str, unit: Unit, exponent: int = 0, digits: int = 9) -> Label:
    return Label(Obis.parse(obis), unit, exponent, digits)


def _phases(name: str, obis_d: str, unit: Unit, first_c: int, digits: int) -> dict[str, Label]:
    """The three labels of the phases: OBIS group C is 20 higher for the next phase."""
    return {
        f"{name}{phase + 1}": _label(f"1-0:{first_c + 20 * phase}.{obis_d}", unit, 0, digits)
        for phase in range(3)
    }


_STANDARD = {
    "EAST": _label("1-0:1.8.0", Unit.WH),
    **{f"EASF{n:02}": _label(f"1-0:1.8.{n}", Unit.WH) for n in range(1, 11)},
    **{f"EASD{n:02}": _label(f"1-0:1.8.{128 + n}", Unit.WH) for n in range(1, 5)},
    "EAIT": _label("1-0:2.8.0", Unit.WH),
    **{f"ERQ{n}": _label(f"1-0:{4 + n}.8.0", Unit.VARH) for n in range(1, 5)},
    **_phases("IRMS", "7.0", Unit.A, 31, 3),
    **_phases("URMS", "7.0", Unit.V, 32, 3),
    **_phases("UMOY", "5.0", Unit.V, 32, 3),
    "PREF": _label("1-0:9.31.0", Unit.VA, 3, 2),
    "PCOUP": _label("0-0:17.0.0", Unit.VA, 3, 2),
    "SINSTS": _label("1-0:9.7.0", Unit.VA, 0, 5),
    **_phases("SINSTS", "7.0", Unit.VA, 29, 5),
    "SMAXSN": _label("1-0:9.6.0", Unit.VA, 0, 5),
    **_phases("SMAXSN", "6.0", Unit.VA, 29, 5),
    "SMAXSN-1": _label("1-0:9.6.0*1", Unit.VA, 0, 5),
    "SMAXSN1-1": _label("1-0:29.6.0*1", Unit.VA, 0, 5),
    "SMAXSN2-1": _label("1-0:49.6.0*1", Unit.VA, 0, 5),
    "SMAXSN3-1": _label("1-0:69.6.0*1", Unit.VA, 0, 5),
    "SINSTI": _label("1-0:10.7.0", Unit.VA, 0, 5),
    "SMAXIN": _label("1-0:10.6.0", Unit.VA, 0, 5),
    "SMAXIN-1": _label("1-0:10.6.0*1", Unit.VA, 0, 5),
    "CCASN": _label("1-0:1.5.0", Unit.W, 0, 5),
    "CCASN-1": _label("1-0:1.5.0*1", Unit.W, 0, 5),
    "CCAIN": _label("1-0:2.5.0", Unit.W, 0, 5),
    "CCAIN-1": _label("1-0:2.5.0*1", Unit.W, 0, 5),
}
_HISTORIC = {
    "BASE": _label("1-0:1.8.0", Unit.WH),
    "HCHC": _label("1-0:1.8.1", Unit.WH),
    "HCHP": _label("1-0:1.8.2", Unit.WH),
    "EJPHN": _label("1-0:1.8.1", Unit.WH),
    "EJPHPM": _label("1-0:1.8.2", Unit.WH),
    "BBRHCJB": _label("1-0:1.8.1", Unit.WH),
    "BBRHPJB": _label("1-0:1.8.2", Unit.WH),
    "BBRHCJW": _label("1-0:1.8.3", Unit.WH),
    "BBRHPJW": _label("1-0:1.8.4", Unit.WH),
    "BBRHCJR": _label("1-0:1.8.5", Unit.WH),
    "BBRHPJR": _label("1-0:1.8.6", Unit.WH),
    "ISOUSC": _label("1-0:31.4.0", Unit.A, 0, 2),
    "IINST": _label("1-0:31.7.0", Unit.A, 0, 3),
    **_phases("IINST", "7.0", Unit.A, 31, 3),
    "IMAX": _label("1-0:31.6.0", Unit.A, 0, 3),
    **_phases("IMAX", "6.0", Unit.A, 31, 3),
    "ADPS": _label("1-0:31.35.0", Unit.A, 0, 3),
    **_phases("ADIR", "35.0", Unit.A, 31, 3),
    "PMAX": _label("1-0:1.6.0", Unit.W, 0, 5),
    "PAPP": _label("1-0:9.7.0", Unit.VA, 0, 5),
}
LABELS = _STANDARD | _HISTORIC
"""Every label with a number, of both modes."""
LABEL_OF = {(label.obis, label.unit): name for name, label in reversed(_STANDARD.items())}
"""OBIS code and unit -> the label that standard mode writes."""
