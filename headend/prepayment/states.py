"""The supply state machine: its states, its triggers, and the one table of transitions.

Theory of operation. The wallet, the hold and the permission to disconnect boil down to one verdict;
the relay that was read back boils down to another. Both are triggers; what they do in a state
stands in `TRANSITIONS` and nowhere else. The diagram in `docs/prepayment/state-machine.md` is drawn
from this table. What an action does stands in `cutoff`.

A trigger without an entry leaves the state as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where the supply of a contract is."""

    ACTIVE = "ACTIVE"
    LOW = "LOW"
    EMERGENCY = "EMERGENCY"
    PROTECTED = "PROTECTED"
    CUT_PENDING = "CUT_PENDING"
    OFF = "OFF"
    RECONNECT_PENDING = "RECONNECT_PENDING"
    ARMED = "ARMED"
    HOLD = "HOLD"


MEANING = {
    State.ACTIVE: "relay on, credit above the low threshold",
    State.LOW: "relay on, credit at or below the low threshold",
    State.EMERGENCY: "relay on, on emergency credit",
    State.PROTECTED: "credit exhausted, relay on: cutting is not permitted now",
    State.CUT_PENDING: "desired off, command queued, sent or unanswered",
    State.OFF: "relay read back as disconnected",
    State.RECONNECT_PENDING: "desired on, relay not yet read back as on",
    State.ARMED: "the meter is ready, the customer has to press its button",
    State.HOLD: "an operator's hold: desired off whatever the credit",
}


class Trigger(StrEnum):
    """A verdict on the contract, or on the relay."""

    FUNDED = "funded"
    RUNNING_LOW = "running low"
    BORROWING = "on emergency credit"
    KEPT = "neither exhausted nor restorable"
    BARRED = "exhausted, not permitted"
    CUT = "exhausted and permitted"
    HELD = "hold set"
    RELAY_ON = "relay reads on"
    RELAY_READY = "relay reads ready"
    RELAY_OFF = "relay reads off"
    STILL_ON = "released with the relay on"
    WINDOW_CLOSED = "window closed, cut unconfirmed"


class Action(StrEnum):
    """What a transition does beside changing the state."""

    NONE = ""
    CUT = "queue DISCONNECT"
    RESTORE = "queue RECONNECT"
    REPAIR = "alarm relay_unexpected, queue RECONNECT"
    GIVE_UP = "cut expired, desired on"
    BYPASS = "alarm relay_bypass"
    HOLD = "queue DISCONNECT if permitted"
    RELEASE = "hold released"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where a trigger leads, and what is done."""

    to: State
    action: Action = Action.NONE


_S, _T, _A = State, Trigger, Action
SUPPLIED = (_S.ACTIVE, _S.LOW, _S.EMERGENCY, _S.PROTECTED)
"""Desired on and, as far as is known, on."""
RESTORING = (_T.FUNDED, _T.RUNNING_LOW, _T.BORROWING)
"""Verdicts that bring supply back."""

_STAY_SUPPLIED = {
    _T.FUNDED: Transition(_S.ACTIVE),
    _T.RUNNING_LOW: Transition(_S.LOW),
    _T.KEPT: Transition(_S.LOW),
    _T.BORROWING: Transition(_S.EMERGENCY),
    _T.BARRED: Transition(_S.PROTECTED),
    _T.CUT: Transition(_S.CUT_PENDING, _A.CUT),
    _T.HELD: Transition(_S.HOLD, _A.HOLD),
    _T.RELAY_OFF: Transition(_S.RECONNECT_PENDING, _A.REPAIR),
    _T.RELAY_READY: Transition(_S.ARMED),
}
TRANSITIONS: dict[tuple[State, Trigger], Transition] = {
    **{(state, trigger): to for state in SUPPLIED for trigger, to in _STAY_SUPPLIED.items()},
    **{
        (state, trigger): Transition(_S.RECONNECT_PENDING, _A.RESTORE)
        for state in (_S.CUT_PENDING, _S.OFF, _S.HOLD)
        for trigger in RESTORING
    },
    (_S.CUT_PENDING, _T.RELAY_OFF): Transition(_S.OFF),
    (_S.CUT_PENDING, _T.RELAY_READY): Transition(_S.OFF),
    (_S.CUT_PENDING, _T.WINDOW_CLOSED): Transition(_S.PROTECTED, _A.GIVE_UP),
    (_S.CUT_PENDING, _T.HELD): Transition(_S.HOLD, _A.HOLD),
    (_S.OFF, _T.RELAY_ON): Transition(_S.PROTECTED, _A.BYPASS),
    (_S.OFF, _T.STILL_ON): Transition(_S.PROTECTED, _A.GIVE_UP),
    (_S.OFF, _T.HELD): Transition(_S.HOLD, _A.HOLD),
    (_S.RECONNECT_PENDING, _T.RELAY_ON): Transition(_S.ACTIVE),
    (_S.RECONNECT_PENDING, _T.RELAY_READY): Transition(_S.ARMED),
    (_S.RECONNECT_PENDING, _T.RELAY_OFF): Transition(_S.RECONNECT_PENDING, _A.RESTORE),
    (_S.RECONNECT_PENDING, _T.CUT): Transition(_S.CUT_PENDING, _A.CUT),
    (_S.RECONNECT_PENDING, _T.HELD): Transition(_S.HOLD, _A.HOLD),
    (_S.ARMED, _T.RELAY_ON): Transition(_S.ACTIVE),
    (_S.ARMED, _T.RELAY_OFF): Transition(_S.RECONNECT_PENDING, _A.RESTORE),
    (_S.ARMED, _T.CUT): Transition(_S.CUT_PENDING, _A.CUT),
    (_S.ARMED, _T.HELD): Transition(_S.HOLD, _A.HOLD),
    (_S.HOLD, _T.HELD): Transition(_S.HOLD, _A.HOLD),
    (_S.HOLD, _T.KEPT): Transition(_S.OFF, _A.RELEASE),
    (_S.HOLD, _T.BARRED): Transition(_S.OFF, _A.RELEASE),
    (_S.HOLD, _T.CUT): Transition(_S.OFF, _A.RELEASE),
}


def document() -> str:
    """The page with the diagram, drawn from the table."""
    lines = [
        "# Supply state machine",
        "",
        "Drawn from `headend/prepayment/states.py` by `docs/write_state_machine.py`; a test keeps",
        "them the same.",
        "",
        "| state | meaning |",
        "|---|---|",
        *(f"| {state} | {MEANING[state]} |" for state in State),
        "",
        "```mermaid",
        "stateDiagram-v2",
        *(f"    {a} --> {b}: {label}" for (a, b), label in _arrows().items()),
        "```",
        "",
    ]
    return "\n".join(lines)


def _arrows() -> dict[tuple[State, State], str]:
    """One arrow for each pair of states, with all its triggers."""
    labels: dict[tuple[State, State], list[str]] = {}
    for (state, trigger), to in TRANSITIONS.items():
        does = f" ({to.action})" if to.action else ""
        labels.setdefault((state, to.to), []).append(f"{trigger}{does}")
    return {arrow: " / ".join(texts) for arrow, texts in labels.items()}
