"""The address of a broker, as people write it: `mqtt://[user:password@]host[:port]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ohmesh.model.errors import ConfigError

DEFAULT_PORT = 1883


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is and who we are to it.

    Attributes:
        host: name or address.
        port: TCP port.
        user: user name, None for an open broker.
        password: its password; never printed.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """Read an address. Raises ConfigError; the message never holds the password."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"a broker's address has a wrong host or port: {error}") from None
        if parts.scheme != "mqtt" or not host or parts.path not in {"", "/"} or parts.query:
            raise ConfigError("a broker's address is mqtt://[user:password@]host[:port]")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(host, port or DEFAULT_PORT, user, password)
