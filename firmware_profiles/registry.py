"""Find profiles by entry point; a third party adds one by installing a package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import Profile

GROUP = "ohmesh.profiles"


@cache
def _entries() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise ProfileError(
                f"profile {entry.name} is installed twice: {known.value} and {entry.value}; "
                "uninstall one of the packages"
            )
    return found


def names() -> tuple[str, ...]:
    """Names of the installed profiles, sorted."""
    return tuple(sorted(_entries()))


@cache
def load(name: str) -> Profile:
    """The profile of a name. Raises ProfileError: it is not installed, or cannot be loaded."""
    entry = _entries().get(name)
    if entry is None:
        raise ProfileError(f"no profile {name!r}; installed are {', '.join(names())}")
    try:
        factory = cast("Callable[[], Profile]", entry.load())
        return factory()
    except ProfileError:
        raise
    except Exception as error:  # a package of somebody else's: it names itself, others go on
        raise ProfileError(f"profile {name}: {entry.value} cannot be loaded: {error!r}") from error


@cache
def for_standard(standard: str) -> tuple[Profile, ...]:
    """Profiles that decode telegram records of a standard, such as `dsmr-p1`."""
    return tuple(p for p in map(load, names()) if standard in p.spec.standards)
