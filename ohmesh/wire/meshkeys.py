"""The file with a gateway's mesh keys: who may join its network, and the network's own keys.

One JSON object, readable by its owner alone::

    {"seal": 1, "keys": {"1": "…32 hex digits…"}, "join_keys": {"106": "…32 hex digits…"}}

`seal`: index of the key that this root seals with; `keys`: the live ones, two while the network
changes its key (ADR 0010); `join_keys`: node number -> join key (`ohmesh.wire.joining.join_key`).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Annotated

import msgspec

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_KeyHex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
_Index = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Node = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 2)]
_LIVE_MAX = 6
"""As many fit into one answer."""


class MeshKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the file, see the module."""

    seal: _Index
    keys: Annotated[dict[_Index, _KeyHex], msgspec.Meta(min_length=1, max_length=_LIVE_MAX)]
    join_keys: dict[_Node, _KeyHex]

    def __post_init__(self) -> None:
        """Refuse to seal with a key that is not there."""
        if self.seal not in self.keys:
            raise ValueError(f"seal: there is no key {self.seal} in keys")

    @property
    def network_keys(self) -> dict[int, bytes]:
        """The live keys by index."""
        return {index: bytes.fromhex(key) for index, key in self.keys.items()}

    @property
    def members(self) -> dict[int, bytes]:
        """The join keys by node."""
        return {node: bytes.fromhex(key) for node, key in self.join_keys.items()}


def read_mesh_keys(path: Path) -> MeshKeys:
    """The keys in a file. Raises ConfigError; it never shows a key."""
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"the mesh keys {path} may be read by others: chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=MeshKeys)
    except OSError as error:
        raise ConfigError(f"the mesh keys {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"the mesh keys {path}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigError(f"the mesh keys {path}: not JSON") from None


def write_mesh_keys(path: Path, keys: MeshKeys) -> None:
    """Write the file anew, for its owner alone."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(msgspec.json.encode(keys) + b"\n")
