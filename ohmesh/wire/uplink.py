"""Gateway -> head-end: batches of telegrams; head-end -> gateway: what is committed.

Theory of operation. The gateway numbers telegrams from 0 within an `epoch` (a random number: a new
or salvaged outbox and each boot of the machine begin one). The head-end keeps, per (gateway,
epoch), the set of numbers it has committed and answers with the end of the contiguous range that
starts at 0; the gateway may free rows below that number, after its keeping time. Batches may arrive
twice, late or out of order: the set and the readings' primary key make a resend change nothing.

A batch says how much of its epoch the gateway believes committed (`acked`). A head-end that knows
of less was restored from a back-up and asks again (`Again`): the gateway gives what it still keeps
new numbers in a new epoch, so that what was asked once is never taken for another request.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

from ohmesh.model.errors import Malformed
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TELEGRAMS = 2000
"""Telegrams in one batch."""
MAX_TELEGRAM_BYTES = 64 * 1024
"""Payload of one telegram; the longest of the shared captures has 4 KiB."""
_Int63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,64}$")]


class _Row(msgspec.Struct, array_like=True, frozen=True):
    kind: TelegramKind
    source: _Id
    meter: _Id
    profile: _Id
    received_at_ms: _Int63
    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_TELEGRAM_BYTES)]


class Again(IntEnum):
    """What a head-end that was restored wants once more."""

    NOTHING = 0
    FROM_HERE = 1
    """All that the gateway keeps from the acknowledged number on."""
    ALL = 2
    """All that the gateway keeps: this epoch is not known at all, so older ones may lack, too."""


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    gateway: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    epoch: _Int63
    first_seq: _Int63
    rows: Annotated[list[_Row], msgspec.Meta(min_length=1, max_length=MAX_TELEGRAMS)]


class UplinkBatch(_Batch, array_like=True, frozen=True):
    """Telegrams `first_seq`, `first_seq + 1` ... of one outbox.

    Attributes:
        gateway: the sender; must be the gateway of the topic.
        epoch: identity of the outbox file, a positive 63-bit number.
        first_seq: number of the first telegram.
        rows: the telegrams.
        acked: the gateway believes that all numbers of the epoch below it are committed.
    """

    acked: _Int63 = 0

    @property
    def end_seq(self) -> int:
        """One past the number of the last telegram."""
        return self.first_seq + len(self.rows)

    def telegrams(self) -> list[Telegram]:
        """The telegrams as model values."""
        return [
            Telegram(r.kind, r.source, Address(r.meter), r.profile, r.received_at_ms, r.payload)
            for r in self.rows
        ]


class _Ack(msgspec.Struct, array_like=True, frozen=True):
    epoch: _Int63
    through: _Int63


class Ack(_Ack, array_like=True, frozen=True):
    """All telegrams of `epoch` below `through` are committed at the head-end.

    Attributes:
        again: what is wanted once more.
    """

    again: Again = Again.NOTHING


_batch_decoder = msgspec.msgpack.Decoder(UplinkBatch)
_ack_decoder = msgspec.msgpack.Decoder(Ack)


def encode_batch(
    gateway: str, epoch: int, first_seq: int, telegrams: Sequence[Telegram], *, acked: int = 0
) -> bytes:
    """One uplink message; see `UplinkBatch`. Raises Oversize."""
    rows = [
        _Row(t.kind, t.source, t.meter, t.profile, t.received_at_ms, t.payload) for t in telegrams
    ]
    if not acked:
        return envelope.pack(_Batch(gateway, epoch, first_seq, rows))
    return envelope.pack(UplinkBatch(gateway, epoch, first_seq, rows, acked))


def decode_batch(octets: bytes) -> UplinkBatch:
    """The batch in the bytes. Raises a WireError, whatever the bytes."""
    batch = envelope.unpack(octets, _batch_decoder)
    if batch.end_seq >= 2**63:
        raise Malformed(f"sequence {batch.first_seq} is out of range")
    return batch


def encode_ack(epoch: int, through: int, again: Again = Again.NOTHING) -> bytes:
    """One acknowledgement."""
    if again is Again.NOTHING:
        return envelope.pack(_Ack(epoch, through))
    return envelope.pack(Ack(epoch, through, again))


def decode_ack(octets: bytes) -> Ack:
    """The acknowledgement in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _ack_decoder)
