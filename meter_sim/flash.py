"""A meter's big memory: load profile and firmware images, apart from the state that it keeps."""

from __future__ import annotations

from typing import Protocol


class Flash(Protocol):
    """Slots of bytes in areas; what is put is durable with the meter's state, or not at all."""

    def put(self, area: str, slot: int, octets: bytes) -> None:
        """Write one slot."""
        ...

    def get(self, area: str, slot: int) -> bytes | None:
        """One slot; None when nothing was written there."""
        ...

    def erase(self, area: str) -> None:
        """Empty an area."""
        ...


class MemoryFlash:
    """A flash that ends with the process."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, int], bytes] = {}

    def put(self, area: str, slot: int, octets: bytes) -> None:
        """Write one slot."""
        self._slots[area, slot] = octets

    def get(self, area: str, slot: int) -> bytes | None:
        """One slot; None when nothing was written there."""
        return self._slots.get((area, slot))

    def erase(self, area: str) -> None:
        """Empty an area."""
        self._slots = {key: octets for key, octets in self._slots.items() if key[0] != area}
