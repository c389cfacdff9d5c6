"""What stands in the menu, by the work it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.security.roles import Permission
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.security.roles import Principal


@dataclass(frozen=True, slots=True)
class Link:
    """A page: its address, its name, a symbol of `static/icons.svg`, and what seeing it needs."""

    to: str
    name: str
    icon: str
    needs: Permission


@dataclass(frozen=True, slots=True)
class Group:
    """Pages of one kind of work."""

    name: str
    links: tuple[Link, ...]


MENU: Final = (
    Group(
        mark("Network"),
        (
            Link("/", mark("Fleet"), "fleet", Permission.FLEET_READ),
            Link("/map", mark("Map"), "map", Permission.FLEET_READ),
            Link("/mesh", mark("Mesh"), "mesh", Permission.FLEET_READ),
            Link("/gateways", mark("Gateways"), "gateway", Permission.FLEET_READ),
            Link("/outages", mark("Outages"), "outage", Permission.FLEET_READ),
            Link("/commands", mark("Commands"), "command", Permission.FLEET_READ),
        ),
    ),
    Group(
        mark("Data"),
        (
            Link("/reads", mark("Reads"), "reads", Permission.FLEET_READ),
            Link("/vee", mark("Validation"), "check", Permission.FLEET_READ),
            Link("/quarantine", mark("Quarantine"), "warning", Permission.FLEET_READ),
        ),
    ),
    Group(
        mark("Customers"),
        (
            Link("/accounts", mark("Prepayment"), "card", Permission.MONEY_READ),
            Link("/cutoff", mark("Cut-off"), "power", Permission.MONEY_READ),
        ),
    ),
    Group(
        mark("Office"),
        (
            Link("/people", mark("People"), "person", Permission.USERS),
            Link("/approvals", mark("Approvals"), "approval", Permission.APPROVE),
            Link("/audit", mark("Audit"), "list", Permission.AUDIT_READ),
            Link("/docs", mark("API"), "code", Permission.FLEET_READ),
        ),
    ),
)


def menu(who: Principal | None) -> list[Group]:
    """What somebody may see of the menu; groups without a page are left out."""
    seen = [
        Group(group.name, tuple(link for link in group.links if who and who.may(link.needs)))
        for group in MENU
    ]
    return [group for group in seen if group.links]


def here(path: str) -> Link | None:
    """The page of the menu that a path belongs to; a meter's page belongs to the fleet."""
    first = "/" + path.split("/")[1].replace("meters", "")
    return next((link for group in MENU for link in group.links if link.to == first), None)
