"""Commands to meters: kinds, states, and the one transition table.

Theory of operation. A command is a row in the head-end's store. It is QUEUED by the API, SENT by
the dispatcher (and sent again until something comes back or the deadline passes), IN_FIELD when
the gateway says that the meter has it, and ends in exactly one of DONE, FAILED, EXPIRED or
CANCELLED. A relay command is DONE only when the relay state that the meter read back is the one
that was asked for; a result with another state is FAILED. A tariff and a firmware are DONE only
when the digest that the meter read back agrees. The meter executes each command id at most once and
repeats its result for a repeated id, so resending is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha256

from ohmesh.model.errors import CommandError


class CommandKind(IntEnum):
    """What a meter is told to do; the number stands on the wire."""

    RELAY_READ = 0
    RELAY_OFF = 1
    RELAY_ON = 2
    READ_NOW = 3
    CLOCK_SET = 4
    LOAD_PROFILE_READ = 5
    """Send the stored intervals of a past period; they come by the way of all readings."""
    TARIFF_SET = 6
    TOKEN_ENTER = 7
    """Enter a token as if it were keyed in."""
    KEY_CHANGE = 8
    """Take a new key for the seal; the result comes under it."""
    FIRMWARE = 9
    """Take an image, check it, and run it; the answer names the blocks that are wanted."""
    FIRMWARE_BLOCK = 10
    """A piece of an image; nobody answers it. Never in a table."""


NEEDS_RELEASE = frozenset({CommandKind.RELAY_OFF})
"""Commands that take supply away: they travel under a seal of their own kind, which meters insist
on and gateways can see, and only with a release signed by the head-end's gate."""


class RelayState(IntEnum):
    """The supply switch as the meter reads it back (DLMS class 70 control_state)."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2
    UNKNOWN = 255


class ResultStatus(IntEnum):
    """What a meter answers; the number stands on the wire."""

    OK = 0
    REFUSED = 1
    EXPIRED = 2
    STALE = 3
    """A newer command of this kind was executed before: the fence refused it."""
    UNSUPPORTED = 4
    FAILED = 5
    IN_PROGRESS = 6
    """Not ended yet: the proof says what is wanted; asking again goes on."""


class CommandState(StrEnum):
    """Where a command is."""

    QUEUED = "queued"
    SENT = "sent"
    IN_FIELD = "in_field"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class CommandEvent(StrEnum):
    """What happens to a command."""

    SEND = "send"
    DELIVERED = "delivered"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXPIRE = "expire"
    CANCEL = "cancel"


_S, _E = CommandState, CommandEvent
TRANSITIONS: dict[tuple[CommandState, CommandEvent], CommandState] = {
    (_S.QUEUED, _E.SEND): _S.SENT,
    (_S.QUEUED, _E.EXPIRE): _S.EXPIRED,
    (_S.QUEUED, _E.CANCEL): _S.CANCELLED,
    (_S.SENT, _E.SEND): _S.SENT,
    (_S.SENT, _E.DELIVERED): _S.IN_FIELD,
    (_S.SENT, _E.SUCCEED): _S.DONE,
    (_S.SENT, _E.FAIL): _S.FAILED,
    (_S.SENT, _E.EXPIRE): _S.EXPIRED,
    (_S.IN_FIELD, _E.SEND): _S.SENT,
    (_S.IN_FIELD, _E.DELIVERED): _S.IN_FIELD,
    (_S.IN_FIELD, _E.SUCCEED): _S.DONE,
    (_S.IN_FIELD, _E.FAIL): _S.FAILED,
    (_S.IN_FIELD, _E.EXPIRE): _S.EXPIRED,
}
"""(state, event) -> next state; what is absent is refused."""
FINAL = frozenset({_S.DONE, _S.FAILED, _S.EXPIRED, _S.CANCELLED})


def advance(state: CommandState, event: CommandEvent) -> CommandState:
    """The state after an event. Raises CommandError(code="bad_transition")."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise CommandError(
            "bad_transition", f"a {state} command does not take the event {event}"
        ) from None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the meter sees it.

    Attributes:
        id: 16 bytes, unique for ever; the idempotency key at the meter.
        kind: what to do.
        sequence: rising per meter; the meter refuses a relay command older than the last executed.
        not_after_s: UTC seconds since 1970; the meter refuses it later than that.
        argument: meaning by kind: seconds since 1970 for CLOCK_SET, the number of a
            FIRMWARE_BLOCK, otherwise 0.
        body: what else the kind needs (`ohmesh.wire.commandbody`).
    """

    id: bytes
    kind: CommandKind
    sequence: int
    not_after_s: int
    argument: int = 0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What the meter answers.

    Attributes:
        id: the command's id.
        status: what became of it.
        relay: the relay state read back after execution.
        at_s: UTC seconds since 1970 at the meter.
        proof: what was read back, by kind (`ohmesh.wire.commandbody`).
    """

    id: bytes
    status: ResultStatus
    relay: RelayState
    at_s: int
    proof: bytes = b""


_WANTED = {
    CommandKind.RELAY_OFF: {RelayState.DISCONNECTED, RelayState.READY_FOR_RECONNECTION},
    CommandKind.RELAY_ON: {RelayState.CONNECTED},
}


DIGEST_BYTES = 8


def digest(octets: bytes) -> bytes:
    """What a meter reads back of a tariff: the first bytes of its SHA-256."""
    return sha256(octets).digest()[:DIGEST_BYTES]


def outcome(kind: CommandKind, result: CommandResult, body: bytes = b"") -> CommandEvent:
    """SUCCEED or FAIL: OK alone is not enough where something can be read back.

    Args:
        kind: of the command.
        result: with the relay's state and the proof as read back.
        body: of the command, with which the proof must agree.
    """
    if result.status is not ResultStatus.OK:
        return CommandEvent.EXPIRE if result.status is ResultStatus.EXPIRED else CommandEvent.FAIL
    return CommandEvent.SUCCEED if _agrees(kind, result, body) else CommandEvent.FAIL


def _agrees(kind: CommandKind, result: CommandResult, body: bytes) -> bool:
    match kind:
        case CommandKind.RELAY_OFF | CommandKind.RELAY_ON:
            return result.relay in _WANTED[kind]
        case CommandKind.TARIFF_SET:
            return result.proof == digest(body)
        case CommandKind.FIRMWARE:
            return result.proof == body  # the meter runs the very image that was offered
        case _:
            return True
