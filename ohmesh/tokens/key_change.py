"""Key change tokens: a new decoder key, carried to the meter in two or four sections.

| section | subclass | 44 bits |
|---|---|---|
| 1 | 3 | KEN high 4, KRN 4, roll-over 1, 3KCT 1, KT 2, NKHO 32 |
| 2 | 4 | KEN low 4, TI 8, NKLO 32 |
| 3 | 8 | SGC low 12, NKMO2 32 |
| 4 | 9 | SGC high 12, NKMO1 32 |

The STA's key is NKHO | NKLO (sections 1 and 2), that of MISTY1 NKHO | NKMO2 | NKMO1 | NKLO (all).
They are sealed under the key in force. With the roll-over bit the meter empties its TID store and
takes the next base date; credit stays.

Source: IEC 62055-41, Set1stSectionDecoderKey to Set4thSectionDecoderKey.
"""

from __future__ import annotations

from dataclasses import dataclass

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens.block import DataBlock
from ohmesh.tokens.keys import KeyType

_WORD = 0xFFFFFFFF
SUBCLASSES = {3: 1, 4: 2, 8: 3, 9: 4}
"""Subclass -> section."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A new decoder key with its attributes; `three_kct` is 0 in all that was published."""

    key: bytes
    key_revision: int
    key_type: KeyType
    tariff_index: int
    supply_group: str
    key_expiry: int = 255
    rollover: bool = False
    three_kct: bool = False

    def sections(self) -> dict[int, DataBlock]:
        """Section number -> block, to be sealed under the old key."""
        words = [int.from_bytes(self.key[i : i + 4]) for i in range(0, len(self.key), 4)]
        if len(words) not in {2, 4}:
            raise PrepaymentError("key_change", "a decoder key has 8 or 16 bytes")
        flags = self.rollover << 3 | self.three_kct << 2 | self.key_type
        first = (self.key_expiry >> 4) << 40 | self.key_revision << 36 | flags << 32 | words[0]
        second = (self.key_expiry & 15) << 40 | self.tariff_index << 32 | words[-1]
        made = {1: DataBlock(2, 3, first), 2: DataBlock(2, 4, second)}
        if len(words) == 4:
            group = int(self.supply_group)
            made[3] = DataBlock(2, 8, (group & 0xFFF) << 32 | words[1])
            made[4] = DataBlock(2, 9, group >> 12 << 32 | words[2])
        return made


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a meter learns from all the sections."""

    key: bytes
    key_revision: int
    key_type: KeyType
    tariff_index: int
    key_expiry: int
    rollover: bool


def section_of(data: DataBlock) -> int | None:
    """Which section a block is; None: none."""
    return SUBCLASSES.get(data.subclass) if data.token_class == 2 else None


def assemble(sections: dict[int, DataBlock], key_bytes: int) -> NewKey | None:
    """The new key once all its sections are there, in any order; None before that."""
    order = (1, 2) if key_bytes == 8 else (1, 3, 4, 2)
    if not all(number in sections for number in order):
        return None
    first, second = sections[1].body, sections[2].body
    return NewKey(
        key=b"".join((sections[number].body & _WORD).to_bytes(4) for number in order),
        key_revision=first >> 36 & 15,
        key_type=KeyType(first >> 32 & 3),
        tariff_index=second >> 32 & 0xFF,
        key_expiry=first >> 40 << 4 | second >> 40,
        rollover=bool(first >> 35 & 1),
    )
