"""What callers say of a command beside its kind, as the bytes that a meter takes; and back."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, StringConstraints

from headend.api.fields import Body, Id, Instant
from headend.api.problems import invalid
from headend.service.firmware import find_firmware
from ohmesh.model.command import CommandKind, ResultStatus
from ohmesh.model.errors import Malformed, WireError
from ohmesh.wire import commandbody
from ohmesh.wire.commandbody import Period, TariffTable
from ohmesh.wire.sealed import KEY_BYTES

if TYPE_CHECKING:
    from headend.api.services import Services
    from headend.store.plan import Plan

_NEEDS: Final = {
    CommandKind.LOAD_PROFILE_READ: frozenset({"period_from", "period_to"}),
    CommandKind.TARIFF_SET: frozenset({"tariff"}),
    CommandKind.TOKEN_ENTER: frozenset({"token"}),
    CommandKind.FIRMWARE: frozenset({"firmware"}),
}
_FIELDS: Final = ("period_from", "period_to", "tariff", "token", "firmware")


class Switch(Body):
    """From a minute of the day (UTC, a multiple of 15) on a rate counts."""

    minute: Annotated[int, Field(strict=True, ge=0, lt=1440, multiple_of=15)]
    rate: Annotated[int, Field(strict=True, ge=1, le=8)]


class Tariff(Body):
    """A table of rates; the first switch is at minute 0, and they stand in order."""

    version: Annotated[int, Field(strict=True, ge=0, lt=2**32)]
    switches: Annotated[list[Switch], Field(min_length=1, max_length=commandbody.SWITCHES_MAX)]


class Parameters(Body):
    """What some kinds need: each its own and nothing else."""

    period_from: Instant | None = None
    period_to: Instant | None = None
    tariff: Tariff | None = None
    token: Annotated[str, StringConstraints(pattern=r"^[0-9 -]{20,40}$")] | None = None
    firmware: Id | None = None


def check(kind: CommandKind, given: Parameters) -> None:
    """Raises Problem: a parameter is missing, or is another kind's."""
    needs = _NEEDS.get(kind, frozenset())
    for name in _FIELDS:
        if (getattr(given, name) is not None) != (name in needs):
            what = "needs it" if name in needs else "does not take it"
            raise invalid(f"/body/{name}", f"a command {kind.name.lower()} {what}")


def body_of(
    kind: CommandKind, given: Parameters, meter: str, tenant_id: int, parts: Services
) -> Plan[bytes]:
    """The body of a command. Raises Problem, CommandError (unknown_firmware)."""
    match kind:
        case CommandKind.LOAD_PROFILE_READ:
            return _period(given)
        case CommandKind.TARIFF_SET:
            return _tariff(given)
        case CommandKind.TOKEN_ENTER:
            return _token(given)
        case CommandKind.KEY_CHANGE:
            return parts.seal_key(meter, secrets.token_bytes(KEY_BYTES))
        case CommandKind.FIRMWARE:
            assert given.firmware is not None
            return (yield from find_firmware(tenant_id, given.firmware)).offer.encode()
        case _:
            return b""
    yield  # a plan, whatever the kind


def _period(given: Parameters) -> bytes:
    assert given.period_from is not None
    assert given.period_to is not None
    period = Period(int(given.period_from.timestamp()), int(given.period_to.timestamp()))
    if not 0 <= period.from_s < period.to_s:
        raise invalid("/body/period_to", "the period ends after it begins, and after 1970")
    return period.encode()


def _tariff(given: Parameters) -> bytes:
    assert given.tariff is not None
    switches = tuple((one.minute, one.rate) for one in given.tariff.switches)
    try:
        return TariffTable(given.tariff.version, switches).encode()
    except Malformed as error:
        raise invalid("/body/tariff/switches", str(error)) from error


def _token(given: Parameters) -> bytes:
    digits = re.sub("[ -]", "", given.token or "")
    if len(digits) != commandbody.TOKEN_DIGITS:
        raise invalid("/body/token", f"a token has {commandbody.TOKEN_DIGITS} digits")
    return digits.encode("ascii")


def read_back(kind: CommandKind, result: ResultStatus | None, proof: bytes | None) -> str:
    """What the meter said beside its status, in words; empty when it said nothing."""
    if not proof:
        return ""
    try:
        return _words(kind, result, proof)
    except WireError:
        return proof.hex()


def _words(kind: CommandKind, result: ResultStatus | None, proof: bytes) -> str:
    match kind:
        case CommandKind.LOAD_PROFILE_READ:
            return f"{int.from_bytes(proof, 'big')} rows sent"
        case CommandKind.TOKEN_ENTER:
            verdict = commandbody.decode_verdict(proof)
            return f"{verdict.word}, credit {verdict.credit / 10:.1f} kWh"
        case CommandKind.FIRMWARE if result is None:
            return f"wants blocks from {commandbody.decode_wanted(proof)[0]} on"
        case CommandKind.FIRMWARE:
            return f"runs version {commandbody.decode_offer(proof).version}"
        case _:
            return proof.hex()
