"""The supply switch: DLMS class 70, disconnect control (Blue Book, 4.5.8). Pure.

The control mode says which transitions a meter permits, by the letters of the standard's diagram:
a remote reconnect, b and c remote disconnect, d remote release for reconnection, e manual
reconnect, f manual disconnect, g local disconnect, h local reconnect.
"""

from __future__ import annotations

from enum import StrEnum

from ohmesh.model.command import RelayState

_OFF, _ON, _READY = (
    RelayState.DISCONNECTED,
    RelayState.CONNECTED,
    RelayState.READY_FOR_RECONNECTION,
)


class RelayEvent(StrEnum):
    """Who wants what: the head-end, the customer at the button, the meter itself."""

    REMOTE_DISCONNECT = "remote_disconnect"
    REMOTE_RECONNECT = "remote_reconnect"
    MANUAL_DISCONNECT = "manual_disconnect"
    MANUAL_RECONNECT = "manual_reconnect"
    LOCAL_DISCONNECT = "local_disconnect"
    LOCAL_RECONNECT = "local_reconnect"


_TRANSITIONS = {
    "a": (_OFF, RelayEvent.REMOTE_RECONNECT, _ON),
    "b": (_ON, RelayEvent.REMOTE_DISCONNECT, _OFF),
    "c": (_READY, RelayEvent.REMOTE_DISCONNECT, _OFF),
    "d": (_OFF, RelayEvent.REMOTE_RECONNECT, _READY),
    "e": (_READY, RelayEvent.MANUAL_RECONNECT, _ON),
    "f": (_ON, RelayEvent.MANUAL_DISCONNECT, _READY),
    "g": (_ON, RelayEvent.LOCAL_DISCONNECT, _READY),
    "h": (_READY, RelayEvent.LOCAL_RECONNECT, _ON),
}
_MODES = ("", "bcfgde", "bcfgae", "bcgde", "bcgae", "bcfgdeh", "bcgdeh")
"""Control mode 0..6 -> the transitions it permits."""
CONTROL_MODES = range(len(_MODES))
DIRECT_RECONNECT = 4
"""Remote disconnect and remote reconnect; the customer has no say."""


def after(state: RelayState, event: RelayEvent, mode: int = DIRECT_RECONNECT) -> RelayState:
    """The state after an event; an event that the mode does not permit changes nothing."""
    for letter in _MODES[mode]:
        before, wanted, result = _TRANSITIONS[letter]
        if (before, wanted) == (state, event):
            return result
    return state
