"""Which tier a profile reaches, with the finding of every check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.conformance import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firmware_profiles.api import Profile
    from firmware_profiles.conformance.vectors import Vector


class Tier(IntEnum):
    """How much a profile has proven."""

    NONE = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        tier: the tier that asks for it.
        name: the check, in words.
        passed: None when it does not apply.
        evidence: what was seen, or why it is refused.
    """

    tier: Tier
    name: str
    passed: bool | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings about a profile."""

    profile: str
    title: str
    findings: tuple[Finding, ...]

    @property
    def tier(self) -> Tier:
        """The highest tier with no failed check in it or below it."""
        reached = Tier.NONE
        for tier in (Tier.BRONZE, Tier.SILVER, Tier.GOLD):
            if any(f.passed is False for f in self.findings if f.tier is tier):
                break
            reached = tier
        return reached


class _Check(NamedTuple):
    tier: Tier
    name: str
    run: Callable[[], str]
    applies: bool = True


def judge(profile: Profile, vectors: Sequence[Vector] = ()) -> Verdict:
    """Run every check on a profile.

    Args:
        profile: any profile.
        vectors: captured telegrams of its standards.
    """
    findings = tuple(_finding(check) for check in _checks(profile, vectors))
    return Verdict(profile.spec.name, profile.spec.title, findings)


def _checks(profile: Profile, vectors: Sequence[Vector]) -> tuple[_Check, ...]:
    sends = not checks.is_decode_only(profile)
    alone = {
        "data are sound": (checks.data_are_sound, True),
        "reports come back": (checks.reports_come_back, sends),
        "reports fit a mesh frame": (checks.reports_fit_a_frame, sends),
        "own telegrams survive damage": (checks.own_telegrams_survive_damage, sends),
        "any bytes end well": (checks.any_bytes_end_well, True),
    }
    bronze = [
        _Check(Tier.BRONZE, name, partial(run, profile), applies)
        for name, (run, applies) in alone.items()
    ]
    read = partial(checks.vectors_are_read, profile, vectors)
    many = partial(checks.vectors_are_many, profile, vectors)
    damage = partial(checks.vectors_survive_damage, profile, vectors)
    return (
        *bronze,
        _Check(Tier.SILVER, "captured telegrams are read", read),
        _Check(Tier.GOLD, "telegrams of several makers", many),
        _Check(Tier.GOLD, "captured telegrams survive damage", damage),
        _Check(Tier.GOLD, "rules name their sources", partial(checks.rules_name_sources, profile)),
    )


def _finding(check: _Check) -> Finding:
    if not check.applies:
        return Finding(check.tier, check.name, None, "the profile offers no simulated meter")
    try:
        return Finding(check.tier, check.name, passed=True, evidence=check.run())
    except checks.Refusal as refusal:
        return Finding(check.tier, check.name, passed=False, evidence=str(refusal))
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises is a finding about it
        return Finding(
            check.tier, check.name, passed=False, evidence=f"{type(error).__name__}: {error}"
        )
