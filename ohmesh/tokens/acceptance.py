"""What a meter does with an STS token that is keyed in: the checks in order, and one new state.

Order: format, class, decryption, CRC, subclass, key expiry, TID old or used, limits; then execution
and the TID's storage are one step: the caller writes the new state in one power-safe write.
A refused token changes nothing, so that a full register does not spend a good token.

The store of TIDs begins filled with zeros. A TID below its smallest is old, one in it is used; a
new one takes the smallest's place. Source: IEC 62055-41, 8 (token acceptance); the order is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import block, key_change, sts
from ohmesh.tokens.sts import TokenKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ohmesh.tokens.block import DataBlock
    from ohmesh.tokens.sts import BlockCipher, StsToken

STORE_SIZE = 50
KEY_EXPIRY_NEVER = 255


class Verdict(StrEnum):
    """What became of a token."""

    ACCEPT = "accept"
    ACCEPT_PARTIAL = "accept_partial"
    ACCEPT_KEY_CHANGED = "accept_key_changed"
    REJECT_FORMAT = "reject_format"
    REJECT_CRC = "reject_crc"
    REJECT_FUNCTION = "reject_function"
    REJECT_KEY_EXPIRED = "reject_key_expired"
    REJECT_OLD = "reject_old"
    REJECT_USED = "reject_used"
    REJECT_OVERFLOW = "reject_overflow"


@dataclass(frozen=True, slots=True)
class MeterState:
    """What the meter keeps through a power cut.

    Attributes:
        key: decoder key, 8 or 16 bytes.
        credit: its register, in tenths of a kWh or in 1e-5 currency units.
        register_max: the most that the register holds.
        tids: the store, of a fixed size.
        key_expiry: high byte of the last TID that is taken.
        sections: of a key change under way.
        settings: the last value of each management token.
    """

    key: bytes
    credit: int = 0
    register_max: int = 999_999_999
    tids: tuple[int, ...] = (0,) * STORE_SIZE
    key_expiry: int = KEY_EXPIRY_NEVER
    sections: Mapping[int, DataBlock] = field(default_factory=dict)
    settings: Mapping[TokenKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of one token: the verdict, the state after it, and the credit it added."""

    verdict: Verdict
    state: MeterState
    added: int = 0


_MANAGEMENT = frozenset(
    {
        TokenKind.POWER_LIMIT,
        TokenKind.CLEAR_CREDIT,
        TokenKind.TARIFF_RATE,
        TokenKind.CLEAR_TAMPER,
        TokenKind.UNBALANCE_LIMIT,
    }
)
_VERDICTS = {
    "token_format": Verdict.REJECT_FORMAT,
    "token_crc": Verdict.REJECT_CRC,
    "token_function": Verdict.REJECT_FUNCTION,
    "amount": Verdict.REJECT_FUNCTION,
}


@dataclass(frozen=True, slots=True)
class TokenReader:
    """A meter's reader of tokens: what it meters and how it decrypts; its state is passed in."""

    cipher: Callable[[bytes], BlockCipher]
    credit_kind: TokenKind = TokenKind.ELECTRICITY

    def enter(self, state: MeterState, digits: str) -> Entry:
        """The verdict on 20 digits and the state after it; never raises for what is keyed in."""
        try:
            token_class, _ = block.from_digits(digits)
            if token_class == 3:
                return Entry(Verdict.REJECT_FUNCTION, state)
            data = sts.unseal(digits, self.cipher(state.key))
            section = key_change.section_of(data)
            if section is not None:
                return _enter_section(state, section, data)
            if token_class == 1:
                return _enter_test(state, data)
            return self._enter_token(state, sts.read(data))
        except PrepaymentError as error:
            return Entry(_VERDICTS[error.code], state)

    def _enter_token(self, state: MeterState, token: StsToken) -> Entry:
        if token.kind is not self.credit_kind and token.kind not in _MANAGEMENT:
            return Entry(Verdict.REJECT_FUNCTION, state)
        if token.tid >> 16 > state.key_expiry:
            return Entry(Verdict.REJECT_KEY_EXPIRED, state)
        if token.tid < min(state.tids):
            return Entry(Verdict.REJECT_OLD, state)
        if token.tid in state.tids:
            return Entry(Verdict.REJECT_USED, state)
        return _execute(state, token)


def _enter_test(state: MeterState, data: DataBlock) -> Entry:
    """A test or display token changes nothing."""
    known = data.subclass in {0, 1}
    return Entry(Verdict.ACCEPT if known else Verdict.REJECT_FUNCTION, state)


def _execute(state: MeterState, token: StsToken) -> Entry:
    added = token.units if token.kind.token_class == 0 else 0
    if state.credit + added > state.register_max:
        return Entry(Verdict.REJECT_OVERFLOW, state)
    credit = 0 if token.kind is TokenKind.CLEAR_CREDIT else state.credit + added
    settings = state.settings
    if token.kind.token_class == 2:
        settings = {**settings, token.kind: token.units}
    tids = (*sorted(state.tids)[1:], token.tid)
    return Entry(Verdict.ACCEPT, replace(state, credit=credit, tids=tids, settings=settings), added)


def _enter_section(state: MeterState, section: int, data: DataBlock) -> Entry:
    """Keep a section; the last one changes the key and, at a roll-over, empties the store."""
    if len(state.key) == 8 and section > 2:
        return Entry(Verdict.REJECT_FUNCTION, state)
    sections = {**state.sections, section: data}
    new = key_change.assemble(sections, len(state.key))
    if new is None:
        return Entry(Verdict.ACCEPT_PARTIAL, replace(state, sections=sections))
    tids = (0,) * len(state.tids) if new.rollover else state.tids
    changed = replace(state, key=new.key, key_expiry=new.key_expiry, sections={}, tids=tids)
    return Entry(Verdict.ACCEPT_KEY_CHANGED, changed)


def consume(state: MeterState, units: int) -> MeterState:
    """The state after use; the register stops at zero, where the relay opens."""
    return replace(state, credit=max(0, state.credit - units))
