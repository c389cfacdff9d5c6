"""Which payloads of one origin a root has taken: high-water mark and what lies beyond."""

from ohmesh.mesh.constants import ACK_BITMAP_BITS, ROOT_WINDOW_BITS

_WINDOW_MASK = (1 << ROOT_WINDOW_BITS) - 1
_AIR_MASK = (1 << ACK_BITMAP_BITS) - 1


class AckWindow:
    """Everything up to ``high_water`` is safe; bit i of ``bits`` is ``high_water + 1 + i``."""

    __slots__ = ("bits", "high_water")

    def __init__(self, high_water: int, bits: int = 0) -> None:
        """Start with everything up to ``high_water`` safe or given up."""
        self.high_water = high_water
        self.bits = bits

    @property
    def has_gap(self) -> bool:
        """True if something beyond the mark is safe while the next one is not."""
        return self.bits != 0

    @property
    def bitmap(self) -> int:
        """The part of the window that fits an acknowledgement on air."""
        return self.bits & _AIR_MASK

    def mark(self, oseq: int) -> None:
        """Note a payload as safe; too far beyond the mark it is left for a later copy."""
        ahead = oseq - self.high_water - 1
        if 0 <= ahead < ROOT_WINDOW_BITS:
            self.bits |= 1 << ahead
            self._advance()

    def rebase(self, high_water: int) -> None:
        """Put the mark where the origin says it is; what was marked beyond it stays."""
        behind = self.high_water - high_water
        if behind > 0:
            self.bits = (self.bits << behind) & _WINDOW_MASK
            self.high_water = high_water
            self._advance()
        else:
            self.raise_floor(high_water + 1)

    def raise_floor(self, floor: int) -> None:
        """The origin holds nothing below ``floor`` any more."""
        ahead = floor - 1 - self.high_water
        if ahead > 0:
            self.high_water += ahead
            self.bits >>= ahead
            self._advance()

    def _advance(self) -> None:
        run = (~self.bits & (self.bits + 1)).bit_length() - 1
        self.high_water += run
        self.bits >>= run
