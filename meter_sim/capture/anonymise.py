"""Take the names out of a capture and keep its structure.

Every gateway, meter and node gets a pseudonym made of its name and a key: the same in every file
that is anonymised with this key, and nothing without it. What happens to the bytes:

- A sealed telegram (source `mesh`) keeps its bytes: only the head-end's key opens them.
- A telegram that its profile reads becomes one of the same profile with the same readings under
  the pseudonym; texts and values that the profile has no register for are dropped.
- Of every other telegram, of serial bytes and of foreign topics only the length stays: zeros. Their
  topic levels become pseudonyms.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from firmware_profiles import registry
from firmware_profiles.api import Report
from meter_sim.capture.record import MQTT
from meter_sim.capture.rewrite import rewrite
from ohmesh.model.errors import DecodeError, ModelError, ProfileError
from ohmesh.model.ids import mesh_address, mesh_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meter_sim.capture.record import Record
    from ohmesh.model.telegram import Telegram

_SEALED_SOURCE = "mesh"
_NODE_SPAN = 2**32 - 2


class Pseudonyms:
    """Names by a key; counts what was done to telegrams in `fates`."""

    def __init__(self, key: bytes) -> None:
        """Args: key: at least 16 bytes; the same key gives the same pseudonyms."""
        self._key = key
        self.fates: Counter[str] = Counter()

    def gateway(self, name: str) -> str:
        """`gw-` and 12 hex digits."""
        return f"gw-{self._digest('gateway', name)[:12]}"

    def meter(self, name: str) -> str:
        """`m-` and 12 hex digits; a mesh address stays one."""
        node = mesh_node(name)
        return f"m-{self._digest('meter', name)[:12]}" if node is None else self._mesh(node)

    def node(self, number: int) -> int:
        """Another node number."""
        return 1 + int(self._digest("node", str(number))[:16], 16) % _NODE_SPAN

    def telegram(self, telegram: Telegram) -> bytes:
        """Bytes that name nobody."""
        if telegram.source == _SEALED_SOURCE:
            self.fates["kept sealed"] += 1
            return telegram.payload
        again = _said_again(telegram)
        self.fates["blanked" if again is None else "encoded again"] += 1
        return bytes(len(telegram.payload)) if again is None else again

    def received_ms(self, at_ms: int) -> int:
        """Times are structure."""
        return at_ms

    def epoch(self, epoch: int) -> int:
        """A random number names nobody."""
        return epoch

    def foreign(self, record: Record) -> Record:
        """No byte of it stays; the number of levels and of bytes does."""
        self.fates["blanked"] += 1
        levels = (self._digest("level", level)[:8] for level in record.place.split("/"))
        place = "/".join(levels) if record.kind == MQTT else self._digest("port", record.place)[:8]
        payload = bytes(len(record.payload))
        return msgspec.structs.replace(record, channel=f"{record.kind} {place}", payload=payload)

    def _mesh(self, node: int) -> str:
        return mesh_address(self.node(node))

    def _digest(self, kind: str, name: str) -> str:
        return hmac.new(self._key, f"{kind}/{name}".encode(), hashlib.sha256).hexdigest()


def anonymise(records: Iterable[Record], names: Pseudonyms) -> Iterator[Record]:
    """The records under pseudonyms."""
    return (rewrite(record, names) for record in records)


def _said_again(telegram: Telegram) -> bytes | None:
    """The same readings in a telegram of our own making; None when the profile cannot."""
    try:
        profile = registry.load(telegram.profile)
        said = profile.decode(telegram.payload)
        known = profile.spec.registers
        readings = tuple(r for r in said.readings if r.register.channel in known)
        time = said.time or next((r.time for r in readings if r.time), None)
        if time is None or not readings:
            return None
        octets = profile.encode(Report(telegram.meter, time, readings))
        profile.decode(octets)
    except (DecodeError, ProfileError, ModelError):
        return None
    return octets
