"""What a meter does.

Classes 9 Script table, 20 Activity calendar, 22 Single action schedule, 40 Push setup,
70 Disconnect control, 71 Limiter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.errors import AccessResult
from firmware_profiles.codecs.dlms.objects.base import CosemObject
from ohmesh.model.command import RelayState
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.apdu import Target

_NOT_SPECIFIED = axdr.octets(bytes.fromhex("ffffffffffffffffff8000ff"))
DISCONNECT_CONTROL = Obis.parse("0-0:96.3.10")
LIMITER = Obis.parse("0-0:17.0.0")


@dataclass(frozen=True, slots=True)
class Script:
    """What a script does: the description of its one action, and the action itself."""

    target: Target
    run: Callable[[datetime], None]


class ScriptTable(CosemObject):
    """Class 9: scripts by number; method 1 executes one."""

    def __init__(self, obis: Obis, scripts: Mapping[int, Script]) -> None:
        super().__init__(9, 0, obis)
        self._scripts = scripts
        self.attributes = {2: axdr.array(*[_script(n, s) for n, s in scripts.items()])}
        self.methods = {1: self._execute}

    def _execute(self, parameter: Value, now: datetime) -> bytes:
        script = self._scripts.get(self.need_int(parameter, 1))
        if script is None:
            raise self.refused(AccessResult.OBJECT_UNDEFINED, 1)
        script.run(now)
        return b""


def _script(number: int, script: Script) -> bytes:
    target = script.target
    action = axdr.structure(
        axdr.enum(2),
        axdr.uint16(target.class_id),
        axdr.octets(target.obis.to_bytes()),
        axdr.int8(target.index),
        axdr.int8(0),
    )
    return axdr.structure(axdr.uint16(number), axdr.array(action))


class ActivityCalendar(CosemObject):
    """Class 20: the tariff calendar in force and the one to come; method 1 swaps them in.

    Attributes 2 to 5 (name, seasons, weeks, days) are in force, 6 to 9 are to come, 10 is when.
    """

    def __init__(self, obis: Obis, name: str) -> None:
        empty = axdr.array()
        calendar = [axdr.octets(name.encode()), empty, empty, empty]
        super().__init__(20, 0, obis)
        self.attributes = dict(enumerate([*calendar, *calendar, _NOT_SPECIFIED], 2))
        self.writable = frozenset(range(6, 11))
        self.methods = {1: self._activate}

    def _activate(self, _parameter: Value, _now: datetime) -> bytes:
        for index in range(2, 6):
            self.attributes[index] = self.attributes[index + 4]
        return b""


def single_action_schedule(obis: Obis, script_table: Obis, script: int) -> CosemObject:
    """Class 22: a script to be run at given times."""
    executed = axdr.structure(axdr.octets(script_table.to_bytes()), axdr.uint16(script))
    return CosemObject(
        22, 0, obis, {2: executed, 3: axdr.enum(1), 4: axdr.array()}, frozenset({2, 3, 4})
    )


def push_setup(
    obis: Obis, targets: Sequence[Target], destination: str, push: Callable[[datetime], None]
) -> CosemObject:
    """Class 40: what is pushed where; method 1 pushes now.

    Args:
        obis: logical name.
        targets: objects and attributes that are pushed.
        destination: address, as the transport writes it.
        push: sends the list.
    """
    objects = [
        axdr.structure(
            axdr.uint16(target.class_id),
            axdr.octets(target.obis.to_bytes()),
            axdr.int8(target.index),
            axdr.uint16(0),
        )
        for target in targets
    ]
    where = axdr.structure(axdr.enum(0), axdr.octets(destination.encode()), axdr.enum(0))

    def push_now(_parameter: Value, now: datetime) -> bytes:
        push(now)
        return b""

    attributes = {
        2: axdr.array(*objects),
        3: where,
        4: axdr.array(),
        5: axdr.uint16(0),
        6: axdr.uint8(0),
        7: axdr.uint16(0),
    }
    return CosemObject(40, 0, obis, {**attributes}, frozenset(range(2, 8)), {1: push_now})


class ControlMode(IntEnum):
    """Who may connect and disconnect (IEC 62056-6-2, Disconnect control, control_mode)."""

    NONE = 0
    REMOTE_TO_READY_MANUAL = 1
    REMOTE_DIRECT_MANUAL = 2
    REMOTE_TO_READY = 3
    REMOTE_DIRECT = 4
    LOCAL_TO_READY_MANUAL = 5
    LOCAL_TO_READY = 6


_DIRECT = frozenset({ControlMode.REMOTE_DIRECT_MANUAL, ControlMode.REMOTE_DIRECT})
"""Modes in which a remote reconnect closes the switch; in the others the customer closes it."""
_MANUAL_OFF = frozenset(
    {
        ControlMode.REMOTE_TO_READY_MANUAL,
        ControlMode.REMOTE_DIRECT_MANUAL,
        ControlMode.LOCAL_TO_READY_MANUAL,
    }
)
_LOCAL_ON = frozenset({ControlMode.LOCAL_TO_READY_MANUAL, ControlMode.LOCAL_TO_READY})


class DisconnectControl(CosemObject):
    """Class 70: the supply switch.

    Theory of operation: the transitions a to h of the standard. Remote disconnect opens from any
    state; remote reconnect closes at once or makes ready, by mode; the customer's button closes
    from ready, and opens to ready where the mode lets it; the meter itself (credit, limiter)
    opens to ready and closes from ready. In mode 0 nothing ever opens.
    """

    def __init__(
        self, mode: ControlMode = ControlMode.REMOTE_DIRECT, *, obis: Obis = DISCONNECT_CONTROL
    ) -> None:
        super().__init__(70, 0, obis)
        self.state = RelayState.CONNECTED
        self.attributes = {
            2: lambda _now: axdr.boolean(self.state is RelayState.CONNECTED),
            3: lambda _now: axdr.enum(self.state),
            4: axdr.enum(mode),
        }
        self.writable = frozenset({4})
        self.methods = {1: self._remote_disconnect, 2: self._remote_reconnect}

    @property
    def mode(self) -> ControlMode:
        """Who may connect and disconnect."""
        stored = self.attributes[4]
        return ControlMode(stored[1]) if isinstance(stored, bytes) else ControlMode.NONE

    def store(self, index: int, data: bytes, now: datetime) -> None:
        """Keep a mode. Raises AccessRefused for one that does not exist."""
        if index == 4 and data[1] not in ControlMode._value2member_map_:
            raise self.refused(AccessResult.TYPE_UNMATCHED, index)
        super().store(index, data, now)

    def _remote_disconnect(self, _parameter: Value, _now: datetime) -> bytes:
        if self.mode is ControlMode.NONE:
            raise self.refused(AccessResult.READ_WRITE_DENIED, 1)
        self.state = RelayState.DISCONNECTED
        return b""

    def _remote_reconnect(self, _parameter: Value, _now: datetime) -> bytes:
        if self.mode is ControlMode.NONE:
            raise self.refused(AccessResult.READ_WRITE_DENIED, 2)
        if self.state is RelayState.DISCONNECTED:
            direct = self.mode in _DIRECT
            self.state = RelayState.CONNECTED if direct else RelayState.READY_FOR_RECONNECTION
        return b""

    def manual_reconnect(self) -> None:
        """The customer's button: closes from ready."""
        if self.state is RelayState.READY_FOR_RECONNECTION and self.mode is not ControlMode.NONE:
            self.state = RelayState.CONNECTED

    def manual_disconnect(self) -> None:
        """The customer's button: opens to ready, where the mode lets it."""
        if self.state is RelayState.CONNECTED and self.mode in _MANUAL_OFF:
            self.state = RelayState.READY_FOR_RECONNECTION

    def local_disconnect(self) -> None:
        """The meter itself opens to ready: no credit, or above the limit."""
        if self.state is RelayState.CONNECTED and self.mode is not ControlMode.NONE:
            self.state = RelayState.READY_FOR_RECONNECTION

    def local_reconnect(self) -> None:
        """The meter itself closes from ready, where the mode lets it."""
        if self.state is RelayState.READY_FOR_RECONNECTION and self.mode in _LOCAL_ON:
            self.state = RelayState.CONNECTED


class Limiter(CosemObject):
    """Class 71: watches a value and runs actions when it stays above or below a threshold.

    Args:
        monitored: object and attribute that are watched.
        threshold_w: normal threshold.
        over_s: seconds above the threshold before the limiter acts.
        control: the switch that it opens.
    """

    def __init__(
        self, monitored: Target, *, threshold_w: int, over_s: int, control: DisconnectControl
    ) -> None:
        super().__init__(71, 0, LIMITER)
        self._control = control
        self._over_since: datetime | None = None
        watched = axdr.structure(
            axdr.uint16(monitored.class_id),
            axdr.octets(monitored.obis.to_bytes()),
            axdr.int8(monitored.index),
        )
        script = axdr.structure(axdr.octets(DISCONNECT_CONTROL.to_bytes()), axdr.uint16(0))
        profile = axdr.structure(axdr.uint16(0), _NOT_SPECIFIED, axdr.uint32(0))
        self.attributes = {
            2: watched,
            3: lambda now: self.get(4, now),
            4: axdr.uint32(threshold_w),
            5: axdr.uint32(threshold_w),
            6: axdr.uint32(over_s),
            7: axdr.uint32(0),
            8: profile,
            9: axdr.array(),
            10: axdr.boolean(0),
            11: axdr.structure(script, script),
        }
        self.writable = frozenset({4, 5, 6, 7, 8, 9})

    def watch(self, power_w: int, now: datetime) -> bool:
        """Take a measurement; returns whether the switch was opened."""
        threshold, over_s = (axdr.decode_whole(self.get(index, now)) for index in (4, 6))
        assert isinstance(threshold, int)
        assert isinstance(over_s, int)
        if power_w <= threshold:
            self._over_since = None
            return False
        self._over_since = self._over_since or now
        if (now - self._over_since).total_seconds() < over_s:
            return False
        self._over_since = None
        self._control.local_disconnect()
        return self._control.state is not RelayState.CONNECTED
