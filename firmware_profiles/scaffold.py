"""`ohmesh profiles new`: a package with a profile that works and passes bronze, to be changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from datetime import date

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "profile.py.tmpl": "ohmesh_profile_{name}/__init__.py",
    "profile.toml.tmpl": "ohmesh_profile_{name}/profile.toml",
    "test_conformance.py.tmpl": "tests/test_conformance.py",
}


@dataclass(frozen=True, slots=True)
class NewProfile:
    """What a new profile is called.

    Attributes:
        name: entry-point name, `xx_standard`.
        country: ISO 3166 code, or `-`.
        zone: IANA zone of its meters.
        title: one line for people.
    """

    name: str
    country: str
    zone: str
    title: str


def contents(new: NewProfile, today: date) -> dict[str, str]:
    """Path -> text of the files of a new package. Raises ProfileError for a name or zone."""
    if not _NAME.fullmatch(new.name):
        raise ProfileError(f"{new.name!r} is no profile name such as xx_standard")
    try:
        ZoneInfo(new.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ProfileError(f"{new.zone!r} is no IANA zone") from error
    if '"' in new.title or "\\" in new.title or not new.title.isprintable():
        raise ProfileError(f"{new.title!r} is no plain title")
    if not re.fullmatch(r"[A-Z]{2}|-", new.country):
        raise ProfileError(f"{new.country!r} is no country code such as NL")
    fields = {
        "name": new.name,
        "dashed": new.name.replace("_", "-"),
        "country": new.country,
        "zone": new.zone,
        "title": new.title,
        "today": today.isoformat(),
    }
    folder = files("firmware_profiles.template")
    return {
        path.format(name=new.name): Template(
            folder.joinpath(template).read_text(encoding="utf-8")
        ).substitute(fields)
        for template, path in _FILES.items()
    }
