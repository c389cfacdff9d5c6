"""What the compiler is given is the same module: dataclasses written out, constants final."""

import sys
from types import ModuleType

import pytest

from meter_sim.city.bench.compiled import prepared

SOURCE = '''"""A module."""

from __future__ import annotations

from dataclasses import dataclass, field

LIMIT = 7
"""A constant."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point."""

    x: int
    y: int = LIMIT


@dataclass(slots=True, kw_only=True)
class Named:
    name: str


@dataclass(slots=True)
class Grown:
    rows: list[int] = field(default_factory=list)
'''


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("prepared_example")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(prepared(SOURCE), made.__dict__)
    return made


def test_values_are_what_they_were(module):
    assert module.Point(1) == module.Point(x=1, y=7)
    assert hash(module.Point(1, 2)) == hash(module.Point(1, 2))
    assert module.Point(1) != module.Point(2)
    assert repr(module.Named(name="a")) == "Named(name='a')"
    assert module.Grown().rows == []
    with pytest.raises(TypeError):
        module.Named("a")


def test_what_only_run_time_made_is_written_out(module):
    text = prepared(SOURCE)
    assert "LIMIT: Final = 7" in text
    assert text.count("def __init__") == 2
    assert module.__doc__ == "A module."
