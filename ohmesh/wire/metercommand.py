"""Commands and results as a meter sees them, inside the seal. Big-endian, fixed size.

Command, 33 bytes: id 16, kind 1, sequence 4, not_after_s 5, argument 6 (signed), reserved 1 = 0.
Result, 23 bytes: id 16, status 1, relay 1, at_s 5.
"""

from __future__ import annotations

from ohmesh.model.command import Command, CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.errors import Malformed, Truncated

_COMMAND_BYTES = 33
_RESULT_BYTES = 23


def encode_command(command: Command) -> bytes:
    """33 bytes."""
    return b"".join(
        (
            command.id,
            bytes((command.kind,)),
            command.sequence.to_bytes(4, "big"),
            command.not_after_s.to_bytes(5, "big"),
            command.argument.to_bytes(6, "big", signed=True),
            b"\0",
        )
    )


def decode_command(octets: bytes) -> Command:
    """The command in 33 bytes. Raises Truncated or Malformed."""
    _check_length(octets, _COMMAND_BYTES)
    try:
        kind = CommandKind(octets[16])
    except ValueError as error:
        raise Malformed(str(error)) from error
    return Command(
        id=octets[:16],
        kind=kind,
        sequence=int.from_bytes(octets[17:21], "big"),
        not_after_s=int.from_bytes(octets[21:26], "big"),
        argument=int.from_bytes(octets[26:32], "big", signed=True),
    )


def encode_result(result: CommandResult) -> bytes:
    """23 bytes."""
    return result.id + bytes((result.status, result.relay)) + result.at_s.to_bytes(5, "big")


def decode_result(octets: bytes) -> CommandResult:
    """The result in 23 bytes. Raises Truncated or Malformed."""
    _check_length(octets, _RESULT_BYTES)
    try:
        status, relay = ResultStatus(octets[16]), RelayState(octets[17])
    except ValueError as error:
        raise Malformed(str(error)) from error
    return CommandResult(octets[:16], status, relay, int.from_bytes(octets[18:23], "big"))


def _check_length(octets: bytes, expected: int) -> None:
    if len(octets) < expected:
        raise Truncated(f"{len(octets)} bytes of {expected}")
    if len(octets) > expected:
        raise Malformed(f"{len(octets)} bytes instead of {expected}")
