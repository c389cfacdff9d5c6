"""Many telegrams of known shapes at once: bytes -> columns of readings, without an object a value.

Telegrams of one profile and one length stand below each other as a matrix of bytes. A template
(`firmware_profiles.shape`) says which columns must be what they were when it was learned, and which
are values; what a template does not cover is left to the full decoder. Pure but for its memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from firmware_profiles.shape import Form
from headend.ingest.decode import microseconds
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from firmware_profiles.shape import StampSlot, Template
    from headend.ingest.decode import Value
    from ohmesh.model.reading import Register

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

TEMPLATES_MAX: Final = 16
"""For one profile and length; the one that fitted least recently goes first."""
LENGTHS_MAX: Final = 1024
_INT64_MIN: Final = np.int64(-(2**63))
_ZERO, _NINE = 48, 9


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Readings of telegrams of one shape: a row a telegram, a column a value.

    Attributes:
        registers: what the values measure, by number.
        measures: the number of each value's register.
        times_us: microseconds since 2000; one column when all readings share the telegram's time.
        values: the registers' integers.
        statuses: Quality.
    """

    registers: tuple[Register, ...]
    measures: Ints
    times_us: Ints
    values: Ints
    statuses: Ints

    def used(self) -> set[Register]:
        """The registers that there is a value of."""
        return {self.registers[n] for n in np.flatnonzero(np.bincount(self.measures.ravel()))}


class Reader:
    """A template, ready for matrices."""

    def __init__(self, template: Template) -> None:
        self.template = template
        slots = template.slots
        self.registers = (
            *(slot.register for slot in slots),
            *(slot.finer or slot.register for slot in slots),
        )
        self._mask = np.frombuffer(template.mask, np.uint8)
        self._skeleton = np.frombuffer(template.skeleton, np.uint8)
        self._sound = template.sound
        self._places = np.array([p for slot in slots for p in slot.places], np.intp)
        self._starts = np.cumsum([0, *(len(slot.places) for slot in slots[:-1])])
        self._weights = np.array([w for s in slots for w in _weights(s.form, len(s.places))])
        self._digits = np.array([s.form is Form.DIGITS for s in slots for _ in s.places])
        signs = [_sign(slot.form, len(slot.places)) for slot in slots]
        self._tops = np.array([top for top, _ in signs], np.int64)
        self._spans = np.array([span for _, span in signs], np.int64)
        self._wide = np.array([s.form is Form.UNSIGNED and len(s.places) == 8 for s in slots])
        self._factors = np.array([slot.factor for slot in slots], np.int64)
        self._divisors = np.array([slot.divisor for slot in slots], np.int64)
        self._divided = any(slot.finer for slot in slots)
        self._stamps = [(stamp, _converter(stamp)) for stamp in template.stamps]
        self._stamp_of = [-1 if slot.stamp is None else slot.stamp for slot in slots]

    def read(
        self, payloads: Sequence[bytes], received_us: Sequence[int]
    ) -> tuple[Block, list[int]]:
        """The readings of those telegrams that it covers, and which of them these are.

        Args:
            payloads: telegrams of the template's length.
            received_us: when they came, for readings without a time: microseconds since 2000.
        """
        matrix = np.frombuffer(b"".join(payloads), np.uint8)
        matrix = matrix.reshape(len(payloads), len(self._mask))
        fits = ((matrix & self._mask) == self._skeleton).all(axis=1)
        sound = self._sound
        rows = [i for i in np.flatnonzero(fits).tolist() if sound(payloads[i])]
        values, measures, good = self._values(matrix[rows])
        times, statuses, told = self._times(
            [payloads[i] for i in rows], [received_us[i] for i in rows]
        )
        keep = good & told
        taken = [row for row, kept in zip(rows, keep.tolist(), strict=True) if kept]
        block = Block(self.registers, measures[keep], times[keep], values[keep], statuses[keep])
        return block, taken

    def _values(self, matrix: NDArray[np.uint8]) -> tuple[Ints, Ints, Bools]:
        """Integers, the registers that they belong to, and which rows are covered."""
        octets = matrix[:, self._places].astype(np.int64)
        good = np.ones(len(matrix), np.bool_)
        if self._digits.any():
            octets[:, self._digits] -= _ZERO
            figures = octets[:, self._digits]
            good &= ((figures >= 0) & (figures <= _NINE)).all(axis=1)
        values = np.add.reduceat(octets * self._weights, self._starts, axis=1)
        values -= np.where(values >= self._tops, self._spans, 0)
        good &= ((values != _INT64_MIN) & ((values >= 0) | ~self._wide)).all(axis=1)
        numbers = np.broadcast_to(np.arange(len(self._factors)), values.shape)
        if not self._divided:
            return values * self._factors, numbers, good
        quotients, left = np.divmod(values * self._factors, self._divisors)
        finer = left != 0
        return np.where(finer, values, quotients), numbers + finer * len(self._factors), good

    def _times(
        self, payloads: Sequence[bytes], received: Sequence[int]
    ) -> tuple[Ints, Ints, Bools]:
        """Times and statuses by column, and which stamps the template covers."""
        good = [True] * len(payloads)
        times, statuses = [], []
        for stamp, convert in self._stamps:
            column, quality = list(received), [int(Quality.RECEIVED_TIME)] * len(payloads)
            for i, payload in enumerate(payloads):
                found = convert(payload[stamp.start : stamp.stop])
                if found is None:
                    good[i] = False
                elif found[0] is None:
                    quality[i] |= found[1]
                else:
                    column[i], quality[i] = found  # type: ignore[assignment] # not None: above
            times.append(column)
            statuses.append(quality)
        times.append(list(received))
        statuses.append([int(Quality.RECEIVED_TIME)] * len(payloads))
        order = self._stamp_of
        if len(set(order)) == 1:
            order = order[:1]
        shape = (len(order), len(payloads))
        return (
            np.array([times[i] for i in order], np.int64).reshape(shape).T,
            np.array([statuses[i] for i in order], np.int64).reshape(shape).T,
            np.array(good, np.bool_),
        )


def _weights(form: Form, size: int) -> list[np.int64]:
    """What each byte counts for; the highest of eight wraps into the sign."""
    base = 10 if form is Form.DIGITS else 256
    return [np.uint64(base**power).astype(np.int64) for power in range(size - 1, -1, -1)]


def _sign(form: Form, size: int) -> tuple[int, int]:
    """From which number on it is negative, and what is then taken off; eight bytes wrap."""
    if form is not Form.SIGNED or size == 8:
        return 2**63 - 1, 0
    return 1 << (8 * size - 1), 1 << (8 * size)


def _converter(stamp: StampSlot) -> Callable[[bytes], tuple[int | None, int] | None]:
    @lru_cache(maxsize=4096)
    def convert(octets: bytes) -> tuple[int | None, int] | None:
        found = stamp.parse(octets)
        if found is None:
            return None
        time, quality = found
        return None if time is None else microseconds(time), int(quality)

    return convert


def same(block: Block, row: int, values: Sequence[Value]) -> bool:
    """Whether a row says what the full decoder says."""
    times, statuses = (
        np.broadcast_to(part[row], len(block.values[row])).tolist()
        for part in (block.times_us, block.statuses)
    )
    registers = [block.registers[number] for number in block.measures[row].tolist()]
    found = zip(registers, times, block.values[row].tolist(), statuses, strict=True)
    return list(found) == [tuple(value) for value in values]


class Shapes:
    """The templates learned so far, by profile and length of the telegram."""

    def __init__(self) -> None:
        self._readers: OrderedDict[tuple[str, int], list[Reader]] = OrderedDict()

    def of(self, profile: str, size: int) -> list[Reader]:
        """The readers for telegrams of a length, those that fitted last first; it is kept."""
        key = (profile, size)
        readers = self._readers.setdefault(key, [])
        self._readers.move_to_end(key)
        if len(self._readers) > LENGTHS_MAX:
            self._readers.popitem(last=False)
        return readers

    def add(self, profile: str, size: int, reader: Reader) -> None:
        """Keep a reader."""
        readers = self.of(profile, size)
        readers.insert(0, reader)
        del readers[TEMPLATES_MAX:]
