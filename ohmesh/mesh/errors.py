"""Errors of the mesh.

::

    MeshError          never raised itself
    ├─ MeshUsageError  the caller broke the contract: payload too long, command on a meter
    ├─ StateError      the persisted state handed to a new station is not ours or is torn
    └─ FrameError      a peer's bytes; the station turns it into a FrameRejected output
"""

from enum import Enum


class RejectReason(Enum):
    """Why a received frame was refused; the value is the metric label."""

    LENGTH = "length"
    VERSION = "version"
    TYPE = "type"
    NETWORK = "network"
    SOURCE = "source"
    SEAL = "seal"
    KEY = "key"
    """Sealed with a key that is newer than ours."""
    REPLAY = "replay"
    BODY = "body"
    UNEXPECTED = "unexpected"


class MeshError(Exception):
    """Root of every error of the mesh."""


class MeshUsageError(MeshError):
    """The caller broke the contract of the mesh."""


class StateError(MeshError):
    """The persisted state cannot be read."""


class FrameError(MeshError):
    """A peer's bytes are not a frame of this network."""

    def __init__(self, reason: RejectReason) -> None:
        """Remember the reason; its value is the message."""
        super().__init__(reason.value)
        self.reason = reason
