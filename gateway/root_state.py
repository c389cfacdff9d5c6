"""What the mesh root remembers over a restart, in two files beside the outbox.

The state blob holds counters that must never go back: it is on disk before anything that rests on
it goes on the air. The registrations save the nodes from registering again; losing the newest of
them costs a few frames, so they are written now and then and spare the card.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from gateway.disk import replace_file

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[int, bytes])


class RootState:
    """The state blob and the registrations of one root."""

    def __init__(self, path: Path) -> None:
        """Read what is there. Args: path: of the state blob; its folder exists."""
        self._path = path
        self._routes_path = path.with_name(path.name + "-routes")
        self.blob = path.read_bytes() if path.exists() else None
        self.routes = self._read_routes()
        self._changed = False

    def keep(self, blob: bytes) -> None:
        """Replace the state blob; on disk when this returns."""
        replace_file(self._path, blob)
        self.blob = blob

    def set_aside(self) -> Path:
        """Keep a blob that the mesh does not understand for later inspection."""
        self.blob = None
        return self._path.replace(self._path.with_name(self._path.name + ".damaged"))

    def keep_route(self, node: int, record: bytes) -> None:
        """Remember a registration, on disk after the next `flush`."""
        self._changed = self._changed or self.routes.get(node) != record
        self.routes[node] = record

    def forget_route(self, node: int) -> None:
        """Drop a registration."""
        self._changed = self.routes.pop(node, None) is not None or self._changed

    def flush(self) -> None:
        """Write the registrations if they changed."""
        if self._changed:
            replace_file(self._routes_path, _encoder.encode(self.routes))
            self._changed = False

    def _read_routes(self) -> dict[int, bytes]:
        try:
            return _decoder.decode(self._routes_path.read_bytes())
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            _log.warning("the mesh's registrations are damaged, nodes register again: %s", error)
            return {}
