"""Commands and results as a meter sees them, inside the seal. Big-endian.

Command, 33 bytes: id 16, kind 1, sequence 4, not_after_s 5, argument 6 (signed), reserved 1 = 0;
then the kind's body, 0 to 94 bytes, so that a sealed command fits one frame of the mesh.
Result, 23 bytes: id 16, status 1, relay 1, at_s 5; then the kind's proof, 0 to 64 bytes.
"""

from __future__ import annotations

from ohmesh.model.command import Command, CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.errors import Malformed, Truncated

_COMMAND_BYTES = 33
_RESULT_BYTES = 23
BODY_MAX_BYTES = 94
"""140 bytes of a mesh payload less the seal and the fields of a command."""
PROOF_MAX_BYTES = 64


def encode_command(command: Command) -> bytes:
    """33 bytes and the body."""
    return b"".join(
        (
            command.id,
            bytes((command.kind,)),
            command.sequence.to_bytes(4, "big"),
            command.not_after_s.to_bytes(5, "big"),
            command.argument.to_bytes(6, "big", signed=True),
            b"\0",
            command.body,
        )
    )


def decode_command(octets: bytes) -> Command:
    """The command in the bytes. Raises Truncated or Malformed."""
    _check_length(octets, _COMMAND_BYTES, BODY_MAX_BYTES)
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
        body=octets[_COMMAND_BYTES:],
    )


def encode_result(result: CommandResult) -> bytes:
    """23 bytes and the proof."""
    fixed = result.id + bytes((result.status, result.relay)) + result.at_s.to_bytes(5, "big")
    return fixed + result.proof


def decode_result(octets: bytes) -> CommandResult:
    """The result in the bytes. Raises Truncated or Malformed."""
    _check_length(octets, _RESULT_BYTES, PROOF_MAX_BYTES)
    try:
        status, relay = ResultStatus(octets[16]), RelayState(octets[17])
    except ValueError as error:
        raise Malformed(str(error)) from error
    at_s, proof = int.from_bytes(octets[18:_RESULT_BYTES], "big"), octets[_RESULT_BYTES:]
    return CommandResult(octets[:16], status, relay, at_s, proof)


def _check_length(octets: bytes, fixed: int, more: int) -> None:
    if len(octets) < fixed:
        raise Truncated(f"{len(octets)} bytes of {fixed}")
    if len(octets) > fixed + more:
        raise Malformed(f"{len(octets)} bytes, at most {fixed + more}")
