"""Where tokens go in: the keypad with its lock, the way from the head-end, and what is kept. Pure.

A token's effect and its TID are one state, written in one go: power lost before that leaves the
token unspent, power lost after it leaves the token used; it is never half taken.

Wrong tries are entries that no token is (format, check, class); five within ten minutes lock the
keypad for an hour. A token that was used or is old is no try at guessing. What comes from the
head-end under the seal is not counted and passes a locked keypad.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from ohmesh.tokens import acceptance
from ohmesh.tokens.acceptance import Entry, TokenReader, Verdict
from ohmesh.tokens.block import DataBlock
from ohmesh.tokens.ciphers import DecoderCiphers
from ohmesh.tokens.keys import EncryptionAlgorithm
from ohmesh.tokens.sts import TokenKind

UNIT_WH = 100
"""A token's unit of electricity: 0.1 kWh."""
WRONG_MAX = 5
WRONG_WINDOW_MS = 600_000
LOCKED_MS = 3_600_000
ACCEPTED = frozenset({Verdict.ACCEPT, Verdict.ACCEPT_PARTIAL, Verdict.ACCEPT_KEY_CHANGED})
_WRONG = frozenset({Verdict.REJECT_FORMAT, Verdict.REJECT_CRC, Verdict.REJECT_FUNCTION})
_ciphers = DecoderCiphers()
_readers = {
    16: TokenReader(lambda key: _ciphers.cipher(EncryptionAlgorithm.MISTY1, key)),
    8: TokenReader(lambda key: _ciphers.cipher(EncryptionAlgorithm.STA, key)),
}
"""By the length of the decoder key."""


class GatewayStatus(IntEnum):
    """What a token gateway says of the last token (DLMS class 115, `token_status`)."""

    EXECUTED = 3
    FORMAT_FAILED = 4
    AUTHENTICATION_FAILED = 5
    VALIDATION_FAILED = 6
    EXECUTION_FAILED = 7
    NONE = 8


_STATUS = {
    Verdict.REJECT_FORMAT: GatewayStatus.FORMAT_FAILED,
    Verdict.REJECT_CRC: GatewayStatus.AUTHENTICATION_FAILED,
    Verdict.REJECT_OVERFLOW: GatewayStatus.EXECUTION_FAILED,
} | dict.fromkeys(ACCEPTED, GatewayStatus.EXECUTED)


class TokenMemory(msgspec.Struct):
    """What a meter keeps of tokens through a power cut.

    Attributes:
        key: decoder key, 8 or 16 bytes; empty: a meter without tokens.
        credit: tenths of a kWh.
        used_wms: drawn since the last whole unit was taken from the credit.
        tids: the last 50, filled with zeros in the beginning.
        key_expiry: high byte of the last TID that is taken.
        sections: of a key change under way: number -> (class, subclass, body).
        settings: the last value of each management token, by (class, subclass).
        wrong_ms: when wrong tries were made at the keypad.
        locked_until_ms: of the keypad.
        last: the Verdict on the last token; empty before the first.
    """

    key: bytes = b""
    credit: int = 0
    used_wms: int = 0
    tids: tuple[int, ...] = (0,) * acceptance.STORE_SIZE
    key_expiry: int = acceptance.KEY_EXPIRY_NEVER
    sections: dict[int, tuple[int, int, int]] = msgspec.field(default_factory=dict)
    settings: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    wrong_ms: list[int] = msgspec.field(default_factory=list)
    locked_until_ms: int = 0
    last: str = ""

    @property
    def status(self) -> GatewayStatus:
        """What the last token came to, as class 115 says it."""
        if not self.last:
            return GatewayStatus.NONE
        return _STATUS.get(Verdict(self.last), GatewayStatus.VALIDATION_FAILED)

    @property
    def power_limit_w(self) -> int | None:
        """The most that may be drawn; None without a limit."""
        return self.settings.get(TokenKind.POWER_LIMIT.value) or None


@dataclass(frozen=True, slots=True)
class KeypadAnswer:
    """What the display says; `verdict` is None while the keypad is locked."""

    verdict: Verdict | None
    credit: int


def enter(memory: TokenMemory, digits: str) -> Verdict:
    """Take a token, or leave everything as it is."""
    entry = _readers[len(memory.key)].enter(_state(memory), digits)
    _keep(memory, entry)
    return entry.verdict


def key_in(memory: TokenMemory, digits: str, now_ms: int) -> KeypadAnswer:
    """A token at the keypad, where wrong tries count."""
    if now_ms < memory.locked_until_ms:
        return KeypadAnswer(None, memory.credit)
    verdict = enter(memory, digits)
    if verdict in _WRONG:
        recent = [at for at in memory.wrong_ms if now_ms - at < WRONG_WINDOW_MS]
        memory.wrong_ms = [*recent, now_ms]
        if len(memory.wrong_ms) >= WRONG_MAX:
            memory.wrong_ms, memory.locked_until_ms = [], now_ms + LOCKED_MS
    return KeypadAnswer(verdict, memory.credit)


def consume(memory: TokenMemory, wms: int, unit_wms: int) -> None:
    """Take what was drawn from the credit, in whole units; it stops at zero."""
    units, memory.used_wms = divmod(memory.used_wms + wms, unit_wms)
    memory.credit = max(0, memory.credit - units)


def _state(memory: TokenMemory) -> acceptance.MeterState:
    return acceptance.MeterState(
        key=memory.key,
        credit=memory.credit,
        tids=memory.tids,
        key_expiry=memory.key_expiry,
        sections={number: DataBlock(*parts) for number, parts in memory.sections.items()},
        settings={TokenKind(kind): value for kind, value in memory.settings.items()},
    )


def _keep(memory: TokenMemory, entry: Entry) -> None:
    state = entry.state
    memory.key, memory.credit = state.key, state.credit
    memory.tids, memory.key_expiry = tuple(state.tids), state.key_expiry
    memory.sections = {n: (d.token_class, d.subclass, d.body) for n, d in state.sections.items()}
    memory.settings = {kind.value: value for kind, value in state.settings.items()}
    memory.last = entry.verdict
