"""The one loss coin of every simulated radio: counter-based, so that nobody's order matters.

A toss is a pure function of (seed, transmitter, receiver, frame number): Philox4x64-10 (Salmon et
al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key (seed, transmitter) and the
counter (frame number, receiver, 0, 0). Two drivers that number frames alike see the same losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.random import Philox

from meter_sim.radio import SURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOSS_BITS = SURE.bit_length() - 1
_TOSSES_A_WORD = 64 // _TOSS_BITS
_BLOCK_WORDS = 4
_BUFFER_EMPTY = 4
TOSSES_A_BLOCK = _BLOCK_WORDS * _TOSSES_A_WORD
_MASK64 = 2**64 - 1


class Coin:
    """Tosses for one seed, from one generator whose state is set: a new one costs four times it."""

    def __init__(self, seed: int) -> None:
        self._bits = Philox()
        # Lists, because numpy takes a number from a list in a third of the time.
        self._key = [seed & _MASK64, 0]
        self._counter = [0, 0, 0, 0]
        self._state: Any = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": self._key},
            "buffer": (0, 0, 0, 0),
            "buffer_pos": _BUFFER_EMPTY,
            "has_uint32": 0,
            "uinteger": 0,
        }

    def toss(self, transmitter: int, receiver: int, frame: int) -> int:
        """A number from 0 to 65535; the event of probability p/65536 happens when it is below p."""
        self._turn_to(transmitter, receiver, frame)
        return int(self._bits.random_raw()) >> (64 - _TOSS_BITS)

    def tosses(self, transmitter: int, receiver: int, frame: int, count: int) -> NDArray[np.uint16]:
        """As many tosses as wanted for one frame; the first is `toss`. Shape: (count,)."""
        self._turn_to(transmitter, receiver, frame)
        words = self._bits.random_raw(-(-count // _TOSSES_A_WORD))
        # Most significant part first, on any machine.
        return words.astype(">u8").view(">u2")[:count]

    def four(self, transmitter: int, receiver: int, frame: int) -> list[int]:
        """The first sixteen of `tosses` in four words, the first toss of each on top."""
        self._turn_to(transmitter, receiver, frame)
        words: list[int] = self._bits.random_raw(_BLOCK_WORDS).tolist()
        return words

    def _turn_to(self, transmitter: int, receiver: int, frame: int) -> None:
        self._key[1] = transmitter
        self._counter[0] = frame
        self._counter[1] = receiver
        self._bits.state = self._state
