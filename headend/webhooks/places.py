"""Where a webhook may lead: to public addresses over HTTPS, and nowhere inside. Pure.

A name is judged by what it resolves to, each time anew and by all its addresses, and the connection
is made to exactly the address that was judged: so a name that changes between the look and the
call (rebinding) leads nowhere. Redirects are never followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = IPv4Address | IPv6Address
PORTS: Final = frozenset({443, 8443})
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64: the last 32 bits are an IPv4 address."""
URL_LENGTH_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Place:
    """A webhook's address: host as written, port, and path with query."""

    host: str
    port: int
    target: str


def parse(url: str) -> Place:
    """An address that a webhook may have. Raises PrepaymentError(code="webhook_url")."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError as error:
        raise _refuse(f"it is no URL: {error}") from error
    if len(url) > URL_LENGTH_MAX or any(ord(c) <= 32 or ord(c) > 126 for c in url):
        raise _refuse("it has odd characters or is too long")
    if parts.scheme != "https":
        raise _refuse("it must begin with https://")
    if not host or parts.username is not None or parts.fragment:
        raise _refuse("it needs a host, and neither user name nor fragment")
    if port not in PORTS:
        raise _refuse(f"the port must be one of {sorted(PORTS)}")
    literal = _literal(host)
    if literal is not None and not is_public(literal):
        raise _refuse(f"{host} is not a public address")
    if literal is None and not _is_name(host):
        raise _refuse(f"{host} is not a public name")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(host, port, target)


def choose(addresses: Iterable[str]) -> Address:
    """The address to call, when all that a name resolves to are public.

    Raises: PrepaymentError(code="webhook_url").
    """
    found = [ip_address(address.partition("%")[0]) for address in addresses]
    if not found:
        raise _refuse("the name resolves to nothing")
    inward = [one for one in found if not is_public(one)]
    if inward:
        raise _refuse(f"the name leads to {inward[0]}, which is not public")
    return found[0]


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet, whatever it is wrapped in."""
    if isinstance(address, IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address in a mapped, translated or tunnelled one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _literal(host: str) -> Address | None:
    """An address that is written out; odd spellings (0x7f.1, 2130706433) are no names either."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.rstrip(".").split(".")
    if len(labels) < 2 or not all(labels):
        return False
    top = labels[-1].lower()
    inside = {"localhost", "local", "internal", "lan", "home", "arpa", "test", "invalid", "onion"}
    return top not in inside and not top.isdigit() and not top.startswith("0x")


def _refuse(why: str) -> PrepaymentError:
    return PrepaymentError("webhook_url", f"a webhook cannot have this address: {why}")
