"""Templates of the frames that a meter pushes; see `firmware_profiles.shape`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from firmware_profiles.codecs.crc import x25_fits
from firmware_profiles.codecs.sml import learn as sml
from firmware_profiles.codecs.sml.tree import Number
from firmware_profiles.de_sml.lists import SERVER_CODES, value_plan
from firmware_profiles.shape import Form, Slot, StampSlot, Template, build, slot
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.base import RegisterFor
    from firmware_profiles.codecs.sml.learn import Branch, Leaf

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX = (1 << 32) - 1
_SERVER_SIZE, _MAKER_SIZE = 10, 6
_DROPS_SIGN = b"\x0a\x01DZG\x00"
"""Makers whose numbers decide how a value is read (`server_id.drops_sign_byte`)."""
_ABSOLUTE = 2


def learn_frame(frame: bytes, register_for: RegisterFor) -> Template | None:
    """The template of a frame that the profile decoded; None for what is unusual in any way."""
    try:
        messages = sml.placed_messages(frame)
        body = None if messages is None else sml.list_of(messages)
        if messages is None or body is None:
            return None
        return _learn(frame, messages, body, register_for)
    except (_Unusual, DecodeError, ValueError, IndexError):  # any shape but the usual one
        return None


class _Unusual(Exception):  # noqa: N818 - a way out, not an error
    """Something whose meaning hangs on its content."""


def _learn(
    frame: bytes, messages: list[Branch], body: Branch, register_for: RegisterFor
) -> Template | None:
    _, server, _, time, entries, *_ = body
    entries = _branch(entries)
    fixed = [*_choice(time), *(tag.places for tag in sml.tags_of(messages))]
    fixed.append(_maker(_server(_leaf(server), entries)))
    stamps = _stamps(time)
    slots: list[Slot | None] = []
    for one in map(_branch, entries):
        name, unit, scaler = (_leaf(one[i]) for i in (0, 3, 4))
        fixed += [name.places, unit.places, scaler.places, *_own_choice(one[2])]
        value = one[5]
        if isinstance(value, sml.Leaf) and isinstance(value.value, Number):
            slots.append(_slot(name, unit, scaler, value, register_for, stamped=bool(stamps)))
    kept = {place for places in fixed for place in places}
    free = [
        range(place, place + 1)
        for message in messages
        for leaf in sml.leaves(message)
        for place in leaf.places
        if place not in kept
    ]
    free.append(range(len(frame) - 2, len(frame)))
    return build(frame, free=free, slots=slots, stamps=stamps, sound=_sound(sml.spans(frame)))


def _leaf(one: Leaf | Branch) -> Leaf:
    if not isinstance(one, sml.Leaf):
        raise _Unusual
    return one


def _branch(one: Leaf | Branch) -> Branch:
    if not isinstance(one, sml.Branch):
        raise _Unusual
    return one


def _server(head: Leaf, entries: Branch) -> Leaf:
    """The server id that counts, as `lists.readings_of` finds it."""
    for one in map(_branch, entries):
        if _leaf(one[0]).value in SERVER_CODES and isinstance(_value(one), bytes):
            return _leaf(one[5])
    return head


def _value(entry: Branch) -> object:
    return entry[5].value if isinstance(entry[5], sml.Leaf) else None


def _maker(server: Leaf) -> range:
    """The part of a server id that must be the same."""
    octets = server.value
    if not isinstance(octets, bytes) or octets[:_MAKER_SIZE] == _DROPS_SIGN:
        raise _Unusual
    size = _MAKER_SIZE if len(octets) == _SERVER_SIZE else 0
    return server.places[:size]


def _choice(time: Leaf | Branch) -> list[range]:
    """What tells the kind of a time."""
    if isinstance(time, sml.Leaf):
        return []
    choice, seconds = map(_leaf, time)
    if not isinstance(choice.value, Number) or not isinstance(seconds.value, Number):
        raise _Unusual
    return [choice.places]


def _own_choice(time: Leaf | Branch) -> list[range]:
    """The same for the time of a single value, which must not be absolute."""
    if _absolute(time) is not None:
        raise _Unusual
    return _choice(time)


def _absolute(time: Leaf | Branch) -> Leaf | None:
    """The seconds of an absolute time."""
    if isinstance(time, sml.Leaf):
        return None
    choice, seconds = map(_leaf, time)
    found = isinstance(choice.value, Number) and choice.value.value == _ABSOLUTE
    return seconds if found else None


def _stamps(time: Leaf | Branch) -> list[StampSlot]:
    seconds = _absolute(time)
    if seconds is None:
        return []
    if not isinstance(seconds.value, Number) or seconds.value.tag < 0x60:
        raise _Unusual
    return [StampSlot(seconds.places.start, seconds.places.stop, _instant)]


def _instant(octets: bytes) -> tuple[datetime, Quality] | None:
    seconds = int.from_bytes(octets, "big")
    if not 0 < seconds <= _SECONDS_MAX:
        return None
    return _EPOCH + timedelta(seconds=seconds), Quality.ACTUAL


def _slot(
    name: Leaf,
    unit: Leaf,
    scaler: Leaf,
    value: Leaf,
    register_for: RegisterFor,
    *,
    stamped: bool,
) -> Slot | None:
    number = value.value
    assert isinstance(name.value, bytes)
    assert isinstance(number, Number)
    code = unit.value.value if isinstance(unit.value, Number) else None
    shift = scaler.value.value if isinstance(scaler.value, Number) else 0
    register, exponent = value_plan(name.value, code, register_for)
    form = Form.SIGNED if number.tag < 0x60 else Form.UNSIGNED
    return slot(value.places, form, register, shift + exponent, 0 if stamped else None)


def _sound(spans: list[tuple[int, int]]) -> Callable[[bytes], bool]:
    def sound(frame: bytes) -> bool:
        return (
            sml.plain_frame(frame)
            and x25_fits(frame)
            and all(sml.message_fits(frame, start, stop) for start, stop in spans)
        )

    return sound
