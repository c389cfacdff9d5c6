"""MISTY1, the block cipher of encryption algorithm 11: 64-bit blocks, 128-bit keys, 8 rounds.

The inner function FI takes 16 bits through S9 and S7, adds its key, and goes through S9 again. All
before the key and all after it are functions of 16 bits alone, so FI is two look-ups in tables of
65 536 entries, made at the first use.

Source: RFC 2994 (algorithm, S-boxes, test data).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

_S7 = bytes.fromhex(
    "1b32335a3b1017545b1a72736b2c66491f24136c372e3f4a5d0f405625511c04"
    "0b46200d7b3544422b1e41144b79156f0e550936740c6753280a7e3802076029"
    "1912652f303908685f782a4c6445753d594803577c4f623c1d215e276a704d3a"
    "016d6e6318772305267600312d7a7f61502211064716524e713e6943345c587d"
)
_S9_HEX = (
    "1c3 0cb 153 19f 1e3 0e9 0fb 035 181 0b9 117 1eb 133 009 02d 0d3 "
    "0c7 14a 037 07e 0eb 164 193 1d8 0a3 11e 055 02c 01d 1a2 163 118 "
    "14b 152 1d2 00f 02b 030 13a 0e5 111 138 18e 063 0e3 0c8 1f4 01b "
    "001 09d 0f8 1a0 16d 1f3 01c 146 07d 0d1 082 1ea 183 12d 0f4 19e "
    "1d3 0dd 1e2 128 1e0 0ec 059 091 011 12f 026 0dc 0b0 18c 10f 1f7 "
    "0e7 16c 0b6 0f9 0d8 151 101 14c 103 0b8 154 12b 1ae 017 071 00c "
    "047 058 07f 1a4 134 129 084 15d 19d 1b2 1a3 048 07c 051 1ca 023 "
    "13d 1a7 165 03b 042 0da 192 0ce 0c1 06b 09f 1f1 12c 184 0fa 196 "
    "1e1 169 17d 031 180 10a 094 1da 186 13e 11c 060 175 1cf 067 119 "
    "065 068 099 150 008 007 17c 0b7 024 019 0de 127 0db 0e4 1a9 052 "
    "109 090 19c 1c1 028 1b3 135 16a 176 0df 1e5 188 0c5 16e 1de 1b1 "
    "0c3 1df 036 0ee 1ee 0f0 093 049 09a 1b6 069 081 125 00b 05e 0b4 "
    "149 1c7 174 03e 13b 1b7 08e 1c6 0ae 010 095 1ef 04e 0f2 1fd 085 "
    "0fd 0f6 0a0 16f 083 08a 156 09b 13c 107 167 098 1d0 1e9 003 1fe "
    "0bd 122 089 0d2 18f 012 033 06a 142 0ed 170 11b 0e2 14f 158 131 "
    "147 05d 113 1cd 079 161 1a5 179 09e 1b4 0cc 022 132 01a 0e8 004 "
    "187 1ed 197 039 1bf 1d7 027 18b 0c6 09c 0d0 14e 06c 034 1f2 06e "
    "0ca 025 0ba 191 0fe 013 106 02f 1ad 172 1db 0c0 10b 1d6 0f5 1ec "
    "10d 076 114 1ab 075 10c 1e4 159 054 11f 04b 0c4 1be 0f7 029 0a4 "
    "00e 1f0 077 04d 17a 086 08b 0b3 171 0bf 10e 104 097 15b 160 168 "
    "0d7 0bb 066 1ce 0fc 092 1c5 06f 016 04a 0a1 139 0af 0f1 190 00a "
    "1aa 143 17b 056 18d 166 0d4 1fb 14d 194 19a 087 1f8 123 0a7 1b8 "
    "141 03c 1f9 140 02a 155 11a 1a1 198 0d5 126 1af 061 12e 157 1dc "
    "072 18a 0aa 096 115 0ef 045 07b 08d 145 053 05f 178 0b2 02e 020 "
    "1d5 03f 1c9 1e7 1ac 044 038 014 0b1 16b 0ab 0b5 05a 182 1c8 1d4 "
    "018 177 064 0cf 06d 100 199 130 15a 005 120 1bb 1bd 0e0 04f 0d6 "
    "13f 1c4 12a 015 006 0ff 19b 0a6 043 088 050 15f 1e8 121 073 17e "
    "0bc 0c2 0c9 173 189 1f5 074 1cc 1e6 1a8 195 01f 041 00d 1ba 032 "
    "03d 1d1 080 0a8 057 1b9 162 148 0d9 105 062 07a 021 1ff 112 108 "
    "1c0 0a9 11d 1b0 1a6 0cd 0f3 05c 102 05b 1d9 144 1f6 0ad 0a5 03a "
    "1cb 136 17f 046 0e1 01e 1dd 0e6 137 1fa 185 08c 08f 040 1b5 0be "
    "078 000 0ac 110 15e 124 002 1bc 0a2 0ea 070 1fc 116 15c 04c 1c2"
)
_S9 = tuple(int(entry, 16) for entry in _S9_HEX.split())
_FoKeys: TypeAlias = tuple[int, int, int, int, int, int, int]
_ROUNDS = range(8)


@cache
def _tables() -> tuple[list[int], list[int]]:
    """FI before its key and FI after it, by 16-bit value."""
    shared = list(range(1 << 16))  # one object a number, for both tables
    before = [shared[_before(x)] for x in shared]
    after = [shared[x & 0xFE00 | _S9[x & 0x1FF] ^ x >> 9] for x in shared]
    return before, after


def _before(x: int) -> int:
    nine = _S9[x >> 7] ^ x & 0x7F
    return (_S7[x & 0x7F] ^ nine & 0x7F) << 9 | nine


class Misty1:
    """The cipher under one 16-byte key; blocks are integers of 64 bits."""

    __slots__ = ("_fl", "_fo", "_pairs")

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"a MISTY1 key has 16 bytes, not {len(key)}")
        before, after = _tables()
        k = [int.from_bytes(key[i : i + 2]) for i in range(0, 16, 2)]
        d = [after[before[k[i]] ^ k[(i + 1) % 8]] for i in range(8)]
        self._fo: tuple[_FoKeys, ...] = tuple(_fo_keys(k, d, i) for i in _ROUNDS)
        self._fl = tuple(_fl_keys(k, d, i) for i in range(10))
        self._pairs = tuple(
            (self._fl[i], self._fl[i + 1], self._fo[i], self._fo[i + 1]) for i in (0, 2, 4, 6)
        )

    def encrypt(self, block: int) -> int:
        """One block. FL and FO stand in the loop: calls would take half the time."""
        before, after = _tables()
        left, right = block >> 32, block & 0xFFFFFFFF
        for (a0, o0), (a1, o1), p, q in self._pairs:
            p0, p1, p2, p3, d0, d1, d2 = p
            q0, q1, q2, q3, e0, e1, e2 = q
            low = (left & 0xFFFF) ^ left >> 16 & a0
            high = left >> 16 ^ (low | o0)
            left = high << 16 | low
            low2 = (right & 0xFFFF) ^ right >> 16 & a1
            right = (right >> 16 ^ (low2 | o1)) << 16 | low2
            high = after[before[high ^ p0] ^ d0] ^ low
            low = after[before[low ^ p1] ^ d1] ^ high
            high = after[before[high ^ p2] ^ d2] ^ low
            right ^= (low ^ p3) << 16 | high
            high, low = right >> 16, right & 0xFFFF
            high = after[before[high ^ q0] ^ e0] ^ low
            low = after[before[low ^ q1] ^ e1] ^ high
            high = after[before[high ^ q2] ^ e2] ^ low
            left ^= (low ^ q3) << 16 | high
        return _fl(right, *self._fl[9]) << 32 | _fl(left, *self._fl[8])

    def decrypt(self, block: int) -> int:
        """The inverse of `encrypt`."""
        fl, fo = self._fl, self._fo
        left, right = _fl_inverse(block & 0xFFFFFFFF, *fl[8]), _fl_inverse(block >> 32, *fl[9])
        for i in (6, 4, 2, 0):
            left ^= _fo(right, fo[i + 1])
            right ^= _fo(left, fo[i])
            left, right = _fl_inverse(left, *fl[i]), _fl_inverse(right, *fl[i + 1])
        return left << 32 | right


def _fo_keys(k: list[int], d: list[int], i: int) -> _FoKeys:
    outer = (k[i], k[(i + 2) % 8], k[(i + 7) % 8], k[(i + 4) % 8])
    return (*outer, d[(i + 5) % 8], d[(i + 1) % 8], d[(i + 3) % 8])


def _fl_keys(k: list[int], d: list[int], i: int) -> tuple[int, int]:
    half = i // 2
    if i % 2 == 0:
        return k[half % 8], d[(half + 6) % 8]
    return d[(half + 2) % 8], k[(half + 4) % 8]


def _fo(x: int, keys: _FoKeys) -> int:
    """RFC 2994, 2.2: three FI in a row over two halves; `k` outer keys, `d` FI keys."""
    before, after = _tables()
    k0, k1, k2, k3, d0, d1, d2 = keys
    right = x & 0xFFFF
    left = after[before[x >> 16 ^ k0] ^ d0] ^ right
    right = after[before[right ^ k1] ^ d1] ^ left
    left = after[before[left ^ k2] ^ d2] ^ right
    return (right ^ k3) << 16 | left


def _fl(x: int, k_and: int, k_or: int) -> int:
    left, right = x >> 16, x & 0xFFFF
    right ^= left & k_and
    return (left ^ (right | k_or)) << 16 | right


def _fl_inverse(x: int, k_and: int, k_or: int) -> int:
    left, right = x >> 16, x & 0xFFFF
    left ^= right | k_or
    return left << 16 | right ^ left & k_and
