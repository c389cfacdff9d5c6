"""The error tree of the stack, by whose fault it is and what the caller can do.

    OhmeshError                     never raised itself
    ├─ ModelError                   a value that has no meaning (bad id, naive time, bad OBIS)
    ├─ WireError                    a peer's bytes: count, drop, go on
    │  ├─ Truncated
    │  ├─ BadChecksum
    │  ├─ UnknownVersion
    │  ├─ Oversize
    │  └─ Malformed
    ├─ ConfigError                  configuration: refuse to start
    ├─ ProfileError                 a profile that is missing, double or wrong: refuse to start
    ├─ DecodeError (kind, offset)   a meter's telegram: quarantine, go on
    ├─ DriverError                  a field device
    │  ├─ DriverTransient           try again
    │  └─ DriverPermanent
    ├─ StoreError                   storage
    │  ├─ OutboxFull
    │  ├─ Conflict
    │  └─ SchemaMismatch
    ├─ CommandError (code)          the code goes on the wire and to the API
    ├─ PrepaymentError (code)
    └─ AccessError (code)

The mesh engine has a root of its own (`ohmesh.mesh.errors`), because it imports nothing of ours.
"""

from __future__ import annotations

from enum import StrEnum


class OhmeshError(Exception):
    """The root; catch it, never raise it."""


class ModelError(OhmeshError, ValueError):
    """A value without meaning in the model."""


class WireError(OhmeshError):
    """Bytes from a peer that are not a message of ours."""


class Truncated(WireError):  # noqa: N818 - the trade's word
    """The message ends before it is complete."""


class BadChecksum(WireError):  # noqa: N818
    """The message fails its check (a CRC, or an authentication tag)."""


class UnknownVersion(WireError):  # noqa: N818
    """The message is of a version that this program does not speak."""


class Oversize(WireError):  # noqa: N818
    """The message is, or declares itself, larger than the limit."""


class Malformed(WireError):  # noqa: N818
    """The message has no valid structure."""


class ConfigError(OhmeshError):
    """A configuration that the program refuses to start with."""


class ProfileError(OhmeshError):
    """A profile that is missing, installed twice or invalid."""


class DecodeErrorKind(StrEnum):
    """Why a meter's telegram has no value."""

    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    BUDGET = "budget"
    KEY = "key"
    REPLAY = "replay"


class DecodeError(OhmeshError):
    """A telegram that cannot be decoded: the only error a codec or a profile raises for bytes.

    Attributes:
        kind: what is wrong.
        offset: byte position in the input where it was seen, 0 when there is no better one.
    """

    def __init__(self, kind: DecodeErrorKind, message: str, *, offset: int = 0) -> None:
        super().__init__(f"{kind.value} at byte {offset}: {message}")
        self.kind = kind
        self.offset = offset
        self.message = message


class DriverError(OhmeshError):
    """A field device that does not do what it should."""


class DriverTransient(DriverError):  # noqa: N818
    """Try again later."""


class DriverPermanent(DriverError):  # noqa: N818
    """Trying again will not help."""


class StoreError(OhmeshError):
    """Storage that cannot do what was asked."""


class OutboxFull(StoreError):  # noqa: N818
    """The gateway's outbox is at its bound; the source must keep its telegram."""


class Conflict(StoreError):  # noqa: N818
    """The same key with other content."""


class SchemaMismatch(StoreError):  # noqa: N818
    """The database is older or newer than this program."""


class CommandError(OhmeshError):
    """A command that is refused; `code` goes on the wire and to the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PrepaymentError(OhmeshError):
    """A prepayment request that is refused; `code` goes to the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AccessError(OhmeshError):
    """A request about users, keys or approvals that is refused; `code` goes to the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
