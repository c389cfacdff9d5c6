"""Vector files of the schema `prepayment-vectors/1`, and the verdict on them.

A group is a function from one vector to its differences: no difference, passed. A group that no
function stands for fails, vector by vector: nothing is skipped silently. Code that breaks on a
vector fails that vector and no other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA: Final = "prepayment-vectors/1"
Vector: TypeAlias = dict[str, Any]
Check: TypeAlias = "Callable[[Vector], Iterable[str]]"


@dataclass(frozen=True, slots=True)
class GroupResult:
    """How one group went; `first_difference` None when all passed."""

    name: str
    passed: int
    failed: int
    first_difference: str | None


def load(path: Path) -> dict[str, list[Vector]]:
    """Group -> vectors. Raises ConfigError for a file of another kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema, groups = content["schema"], content["groups"]
        vectors = {name: [dict(v) for v in group["vectors"]] for name, group in groups.items()}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file of prepayment vectors") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: no file of prepayment vectors: {error!r}") from error
    if schema != SCHEMA:
        raise ConfigError(f"{path}: schema {schema!r} is not {SCHEMA!r}")
    return vectors


def judge(name: str, vectors: list[Vector], check: Check | None) -> GroupResult:
    """Run one group."""
    failures = [failure for vector in vectors if (failure := _failure(vector, check)) is not None]
    if not vectors:
        failures = ["the group holds no vectors"]
    passed = max(0, len(vectors) - len(failures))
    return GroupResult(name, passed, len(failures), failures[0] if failures else None)


def _failure(vector: Vector, check: Check | None) -> str | None:
    identity = vector.get("id", "?")
    if check is None:
        return f"{identity}: no code of ours stands for this group"
    try:
        first = next(iter(check(vector)), None)
    except Exception as error:  # noqa: BLE001 - the supervisor of one vector: it fails, all go on
        first = repr(error)
    return None if first is None else f"{identity}: {first}"


def compare(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[str]:
    """Differences in the fields that both name; `expected` may say more than we look at."""
    for name, value in actual.items():
        if name in expected:
            yield from differs(name, expected[name], value)


def differs(name: str, expected: object, actual: object) -> Iterator[str]:
    """One difference, or none."""
    if expected != actual:
        yield f"{name}: expected {expected!r}, got {actual!r}"
