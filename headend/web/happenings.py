"""Events and commands as one story, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headend.api.views import Command, Event


@dataclass(frozen=True, slots=True)
class Happening:
    """One line: when, the code of what, where; `state` of a command, empty for an event."""

    at: datetime
    what: str
    meter: str | None
    gateway: str | None
    state: str


def newest_first(events: Sequence[Event], commands: Sequence[Command]) -> list[Happening]:
    """One list of both; of one moment the command, which the event caused, is newer."""
    lines = [Happening(e.at, e.kind, e.meter, e.gateway, "") for e in events]
    lines += [Happening(c.created_at, c.kind, c.meter, None, c.state) for c in commands]
    return sorted(lines, key=lambda line: (line.at, line.state != ""), reverse=True)
