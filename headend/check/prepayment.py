"""All groups of prepayment vectors, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headend.check import money_groups, supply_groups, token_groups

if TYPE_CHECKING:
    from headend.check.vectors import Check
    from ohmesh.tokens.sta import StaTables


def checks(production: StaTables | None) -> dict[str, Check]:
    """Group -> check."""
    tokens = token_groups.groups(production)
    return {**tokens, **money_groups.groups(), **supply_groups.groups()}
