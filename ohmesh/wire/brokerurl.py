"""The address of a broker, as people write it: `mqtt[s]://[user:password@]host[:port]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ohmesh.model.errors import ConfigError

DEFAULT_PORT = 1883
_PORTS = {"mqtt": DEFAULT_PORT, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is and who we are to it.

    Attributes:
        host: name or address.
        port: TCP port.
        user: user name, None for an open broker.
        password: its password; never printed.
        tls: whether we speak TLS to it.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """Read an address. Raises ConfigError; the message never holds the password."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"a broker's address has a wrong host or port: {error}") from None
        if parts.scheme not in _PORTS or not host or parts.path not in {"", "/"} or parts.query:
            raise ConfigError("a broker's address is mqtt[s]://[user:password@]host[:port]")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(host, port or _PORTS[parts.scheme], user, password, tls=parts.scheme == "mqtts")
