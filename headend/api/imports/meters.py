"""Lines of a file of meters, checked as a registration by `POST /v1/meters` is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from headend.api.fields import Id
from headend.api.problems import Problem
from headend.api.routes.meters import RegisterMeter, new_meter, place_of
from headend.service.imports import Outcomes, Place, import_meters

if TYPE_CHECKING:
    from headend.api.imports.files import Line
    from headend.api.services import Services
    from headend.service.fleet import NewMeter
    from headend.store.plan import Plan


class MeterLine(RegisterMeter):
    """A registration, and what its service point hangs on and counts with."""

    transformer: Id | None = None
    feeder: Id | None = None
    area: Id | None = None


COLUMNS: Final = tuple(MeterLine.model_fields)
NEEDED: Final = ("meter", "profile")
_INTEGERS: Final = frozenset({"interval_s", "node"})
_INTEGER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(slots=True)
class MeterFile:
    """What one file has named so far: a meter or an address stands in it once."""

    parts: Services
    tenant_id: int
    _lines: dict[tuple[str, str], int] = field(default_factory=dict)

    def plan(self, lines: list[Line]) -> Plan[Outcomes]:
        """Read the lines now; the plan gives their outcomes, in order."""
        return self._outcomes([self._read(line) for line in lines])

    def _outcomes(self, found: list[tuple[NewMeter, Place | None] | str]) -> Plan[Outcomes]:
        fit = [one for one in found if not isinstance(one, str)]
        places: dict[str, Place] = {}
        for _, place in fit:
            if place is not None:
                places[place.name] = place.over(places.get(place.name))
        outcomes = iter(
            (yield from import_meters(self.tenant_id, [m for m, _ in fit], places.values()))
        )
        return [one if isinstance(one, str) else next(outcomes) for one in found]

    def _read(self, line: Line) -> tuple[NewMeter, Place | None] | str:
        if line.fault:
            return line.fault
        try:
            body = MeterLine.model_validate(_typed(line.fields))
            meter = new_meter(body, place_of(body), self.parts)
        except ValidationError as error:
            first = error.errors()[0]
            return f"{'/'.join(map(str, first['loc']))}: {first['msg']}"
        except Problem as error:
            return error.detail
        for name in (("meter", meter.name), ("address", meter.address)):
            if name in self._lines:
                return f"{name[0]} {name[1]} stands in line {self._lines[name]} already"
        self._lines |= {("meter", meter.name): line.number, ("address", meter.address): line.number}
        return meter, _place(body)


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers of a CSV as integers; what is none stays for validation to refuse."""
    return {
        name: int(value)
        if name in _INTEGERS and isinstance(value, str) and _INTEGER.fullmatch(value)
        else value
        for name, value in fields.items()
    }


def _place(body: MeterLine) -> Place | None:
    name = place_of(body)
    if name is None:
        return None
    zone = body.zone if "zone" in body.model_fields_set else None
    return Place(name, zone, body.x_m, body.y_m, body.transformer, body.feeder, body.area)
