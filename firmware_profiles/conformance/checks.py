"""The checks: each returns its evidence in words, or raises Refusal with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import shake_128
from typing import TYPE_CHECKING

from firmware_profiles import canonical
from firmware_profiles.api import Decoded, Report
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firmware_profiles.api import Keys, Profile
    from firmware_profiles.conformance.vectors import Vector

METER = "00001234"
"""An id that every meter numbering at hand can hold."""
FRAME_BYTES_MAX = 140
VALUES = (0, 1, 42, 12_345, 99_999)
MOMENTS = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2026-01-15T12:45:00+00:00",
        "2026-03-29T01:00:00+00:00",
        "2026-07-01T12:00:00+00:00",
        "2026-10-25T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
        "2026-12-31T23:30:00+00:00",
        "2028-02-29T15:00:00+00:00",
    )
)
"""Noon and midnight, both ways over daylight saving time, a leap day, a new year."""
RANDOM_INPUTS = 2000
_RANDOM_BYTES_MAX = 301
_INSTANT_MAX = 10_000
_DAMAGE = (0x01, 0x80, 0xFF)
_GOLD_VECTORS, _GOLD_MAKERS = 5, 2
_WEAK = "recalled"


class Refusal(AssertionError):  # noqa: N818 - a verdict, not a fault of the program
    """A check that a profile does not pass; the message says why."""


def is_decode_only(profile: Profile) -> bool:
    """Whether a profile offers no simulated meter."""
    return not profile.spec.reported


def data_are_sound(profile: Profile) -> str:
    """The data half has what others rely on; its file was validated when it was loaded."""
    spec = profile.spec
    if not spec.standards:
        raise Refusal("the profile names no standard that it decodes")
    if not spec.registers and not is_decode_only(profile):
        raise Refusal("the profile reports channels but has no registers")
    return f"{len(spec.registers)} registers, {len(spec.rules)} rules, evidence {spec.evidence}"


def reports_come_back(profile: Profile) -> str:
    """decode(encode(report)) gives the readings of the report, at any moment of the year."""
    count = 0
    for moment in MOMENTS:
        for value in VALUES:
            report = _report(profile, moment, value)
            _compare(report, profile.decode(profile.encode(report)))
            count += 1
    return f"{count} reports of {len(profile.spec.reported)} channels"


def reports_fit_a_frame(profile: Profile) -> str:
    """The telegram of the reported channels rides in one mesh frame."""
    longest = max(
        len(profile.encode(_report(profile, moment, value)))
        for moment in MOMENTS
        for value in VALUES
    )
    if longest > FRAME_BYTES_MAX:
        raise Refusal(f"{longest} bytes, and a mesh frame holds {FRAME_BYTES_MAX}")
    return f"{longest} of {FRAME_BYTES_MAX} bytes"


def own_telegrams_survive_damage(profile: Profile) -> str:
    """The profile's own telegram, cut and altered at every byte, ends in a value or DecodeError."""
    return _damaged(profile, [(profile.encode(_report(profile, MOMENTS[0], 12_345)), None)])


def any_bytes_end_well(profile: Profile) -> str:
    """Bytes without sense, the same in each run, end in a value or a DecodeError."""
    for number in range(RANDOM_INPUTS):
        payload = shake_128(number.to_bytes(4, "big")).digest(number % _RANDOM_BYTES_MAX)
        _ends_well(profile, payload, None, verify=bool(number % 2))
    return f"{RANDOM_INPUTS} inputs of up to {_RANDOM_BYTES_MAX} bytes"


def vectors_are_read(profile: Profile, vectors: Sequence[Vector]) -> str:
    """Captured telegrams give the values that their source states, or are refused."""
    captured = [vector for vector in vectors if vector.maker]
    if not captured:
        raise Refusal("no captured telegram of this profile was given")
    if profile.spec.evidence != "real":
        raise Refusal(f"the profile claims no more than {profile.spec.evidence} evidence")
    numbers = sum(_read(profile, vector) for vector in vectors)
    return f"{len(captured)} telegrams of {_makers(captured)}, {numbers} values"


def vectors_are_many(profile: Profile, vectors: Sequence[Vector]) -> str:
    """Telegrams of several makers."""
    del profile
    captured = [vector for vector in vectors if vector.maker]
    makers = {vector.maker for vector in captured}
    if len(captured) < _GOLD_VECTORS or len(makers) < _GOLD_MAKERS:
        raise Refusal(
            f"{len(captured)} telegrams of {len(makers)} makers; "
            f"gold needs {_GOLD_VECTORS} of {_GOLD_MAKERS}"
        )
    return f"{len(captured)} telegrams of {_makers(captured)}"


def vectors_survive_damage(profile: Profile, vectors: Sequence[Vector]) -> str:
    """Captured telegrams, cut and altered at every byte, end in a value or a DecodeError."""
    if not vectors:
        raise Refusal("no telegram of this profile was given")
    return _damaged(profile, [(vector.payload, vector.keys) for vector in vectors])


def rules_name_sources(profile: Profile) -> str:
    """No rule of the country rests on memory alone."""
    weak = [rule.topic for rule in profile.spec.rules if rule.confidence == _WEAK]
    if weak:
        raise Refusal(f"from memory alone: {', '.join(weak)}")
    if not profile.spec.rules:
        raise Refusal("the profile has no rules")
    return f"{len(profile.spec.rules)} rules, each with a public source"


def _report(profile: Profile, moment: datetime, value: int) -> Report:
    spec = profile.spec
    readings = tuple(
        Reading(spec.registers[channel], _bounded(channel, value), moment)
        for channel in spec.reported
    )
    return Report(METER, moment.astimezone(UTC), readings)


def _bounded(channel: str, value: int) -> int:
    """Counters grow large; what is measured at an instant fits 16 bits in many standards."""
    known = canonical.table().get(channel)
    counts = known is not None and known.kind in ("cumulative", "counter")
    return value if counts else value % _INSTANT_MAX


def _compare(report: Report, decoded: Decoded) -> None:
    given = [(r.register, r.value) for r in report.readings]
    back = [(r.register, r.value) for r in decoded.readings]
    if back != given:
        raise Refusal(f"at {report.time.isoformat()} {given} came back as {back}")
    times = {r.time for r in decoded.readings} - {None}
    if times - {report.time}:
        raise Refusal(f"the time {report.time.isoformat()} came back as {times}")


def _damaged(profile: Profile, telegrams: Iterable[tuple[bytes, Keys | None]]) -> str:
    inputs = found = 0
    for payload, keys in telegrams:
        for damaged in _damage(payload):
            inputs += 1
            found += _ends_well(profile, damaged, keys, verify=True)
            _ends_well(profile, damaged, keys, verify=False)
    return f"{inputs} damaged inputs, {found} of them refused"


def _damage(payload: bytes) -> Iterable[bytes]:
    for position in range(len(payload)):
        yield payload[:position]
        for mask in _DAMAGE:
            yield (
                payload[:position] + bytes((payload[position] ^ mask,)) + payload[position + 1 :]
            )


def _ends_well(profile: Profile, payload: bytes, keys: Keys | None, *, verify: bool) -> bool:
    """Whether an input is refused. Raises Refusal when it ends in anything but the two ways."""
    try:
        decoded = profile.decode(payload, keys=keys, verify=verify)
    except DecodeError:
        return True
    except Exception as error:
        raise Refusal(
            f"{type(error).__name__} instead of DecodeError on {payload.hex()}"
        ) from error
    if not isinstance(decoded, Decoded):
        raise Refusal(f"a {type(decoded).__name__} instead of Decoded on {payload.hex()}")
    return False


def _read(profile: Profile, vector: Vector) -> int:
    """How many wanted values a telegram gave. Raises Refusal."""
    try:
        decoded = profile.decode(vector.payload, keys=vector.keys)
    except DecodeError as error:
        if vector.refused:
            return 0
        raise Refusal(f"{vector.name}: {error}") from error
    if vector.refused:
        raise Refusal(f"{vector.name} must be refused, and was accepted")
    missing = vector.missing(decoded)
    if missing:
        raise Refusal(f"{vector.name}: {missing[0]} is not among the readings")
    return len(vector.wanted)


def _makers(vectors: Sequence[Vector]) -> str:
    return ", ".join(sorted({vector.maker for vector in vectors}))
