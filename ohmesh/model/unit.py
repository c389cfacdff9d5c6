"""Units of the store: base units only; the decimal scaler stands beside the integer value."""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """The unit of a channel, after prefixes (k, M, m) went into the scaler."""

    WH = "Wh"
    VARH = "varh"
    VAH = "VAh"
    W = "W"
    VAR = "var"
    VA = "VA"
    V = "V"
    A = "A"
    HZ = "Hz"
    M3 = "m3"
    M3_PER_H = "m3/h"
    J = "J"
    J_PER_H = "J/h"
    CELSIUS = "degC"
    KELVIN = "K"
    BAR = "bar"
    KG = "kg"
    KG_PER_H = "kg/h"
    HCA = "HCA"
    SECOND = "s"
    PERCENT = "%"
    DEGREE = "deg"
    COUNT = "count"
    CODE = "code"
    ONE = "1"
