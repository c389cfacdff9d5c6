"""Randomness by hashing: a number belongs to its seed and labels, whoever asks and when.

SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), on whole
arrays and on single numbers. All integers, so that a seed means the same on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1
_UNIFORMS_A_WORD, _WORDS = 4, 3
_SIXTEEN = 1 << 16


def mix(number: int) -> int:
    """The finaliser of SplitMix64: a 64-bit hash of a 64-bit number."""
    number = ((number ^ (number >> 30)) * _MIX1) & _MASK
    number = ((number ^ (number >> 27)) * _MIX2) & _MASK
    return number ^ (number >> 31)


def hash_ints(*labels: int) -> int:
    """A 64-bit hash of a tuple of integers."""
    held = 0
    for label in labels:
        held = mix((held + _GAMMA + (label & _MASK)) & _MASK)
    return held


def hash_arrays(start: int, *labels: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`hash_ints` going on from a hash over arrays of equal shape: one hash an element."""
    held = np.full(labels[0].shape, start, dtype=np.uint64)
    for label in labels:
        held = _mix_array(held + np.uint64(_GAMMA) + label)
    return held


def _mix_array(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    number = (number ^ (number >> np.uint64(30))) * np.uint64(_MIX1)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(_MIX2)
    return number ^ (number >> np.uint64(31))


def normals(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A nearly normal number for each hash: the sum of twelve uniform ones, cut at 6 sigma.

    Only exact operations (integer sums, one division by a power of two).
    """
    total = np.zeros(hashes.shape, dtype=np.int64)
    word = hashes
    for _ in range(_WORDS):
        for shift in range(_UNIFORMS_A_WORD):
            part = (word >> np.uint64(16 * shift)) & np.uint64(_SIXTEEN - 1)
            total += part.astype(np.int64)
        word = _mix_array(word + np.uint64(_GAMMA))
    count = _UNIFORMS_A_WORD * _WORDS
    # Each part is uniform on 0..65535, so its mean is half a step below 32768.
    return (2 * total - count * (_SIXTEEN - 1)) / (2 * _SIXTEEN)


def uniforms(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each hash, exact to 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) / 2.0**53


class Dice:
    """A station's generator: 16 bytes of state, where `random.Random` holds 2.5 kB."""

    __slots__ = ("_state",)

    def __init__(self, *labels: int) -> None:
        """Args: labels: seed, node, boot: whatever makes it its own."""
        self._state = hash_ints(*labels)

    def randrange(self, limit: int, /) -> int:
        """An integer in [0, limit); the bias is below limit / 2^64."""
        self._state = (self._state + _GAMMA) & _MASK
        return mix(self._state) * limit >> 64
