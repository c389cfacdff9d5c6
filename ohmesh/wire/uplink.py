"""Gateway -> head-end: batches of telegrams; head-end -> gateway: what is committed.

Theory of operation. The gateway numbers telegrams from 0 within an `epoch` (a random number: a new
or salvaged outbox and each boot of the machine begin one). The head-end keeps, per (gateway,
epoch), the set of numbers it has committed and answers with the end of the contiguous range that
starts at 0; the gateway may free rows below that number, after its keeping time. Batches may arrive
twice, late or out of order: the set and the readings' primary key make a resend change nothing.
"""

from __future__ import annotations

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


class UplinkBatch(msgspec.Struct, array_like=True, frozen=True):
    """Telegrams `first_seq`, `first_seq + 1` ... of one outbox.

    Attributes:
        gateway: the sender; must be the gateway of the topic.
        epoch: identity of the outbox file, a positive 63-bit number.
        first_seq: number of the first telegram.
        rows: the telegrams.
    """

    gateway: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    epoch: _Int63
    first_seq: _Int63
    rows: Annotated[list[_Row], msgspec.Meta(min_length=1, max_length=MAX_TELEGRAMS)]

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


class Ack(msgspec.Struct, array_like=True, frozen=True):
    """All telegrams of `epoch` below `through` are committed at the head-end."""

    epoch: _Int63
    through: _Int63


_batch_decoder = msgspec.msgpack.Decoder(UplinkBatch)
_ack_decoder = msgspec.msgpack.Decoder(Ack)


def encode_batch(gateway: str, epoch: int, first_seq: int, telegrams: Sequence[Telegram]) -> bytes:
    """One uplink message. Raises Oversize."""
    rows = [
        _Row(t.kind, t.source, t.meter, t.profile, t.received_at_ms, t.payload) for t in telegrams
    ]
    return envelope.pack(UplinkBatch(gateway, epoch, first_seq, rows))


def decode_batch(octets: bytes) -> UplinkBatch:
    """The batch in the bytes. Raises a WireError, whatever the bytes."""
    batch = envelope.unpack(octets, _batch_decoder)
    if batch.end_seq >= 2**63:
        raise Malformed(f"sequence {batch.first_seq} is out of range")
    return batch


def encode_ack(epoch: int, through: int) -> bytes:
    """One acknowledgement."""
    return envelope.pack(Ack(epoch, through))


def decode_ack(octets: bytes) -> Ack:
    """The acknowledgement in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _ack_decoder)
