"""The switch itself: a latching contact that may stick, and a wire that somebody laid around it."""

from __future__ import annotations

from dataclasses import dataclass

from ohmesh.model.command import RelayState


@dataclass(slots=True)
class Contactor:
    """Hardware: it stays where it is when power goes, and knows nothing of commands.

    Attributes:
        closed: where the contact is.
        stuck: it does not move any more.
        bypassed: current flows around it, through the meter's measurement.
    """

    closed: bool = True
    stuck: bool = False
    bypassed: bool = False

    @property
    def feeds(self) -> bool:
        """Whether the customer can draw."""
        return self.closed or self.bypassed

    def drive(self, wanted: RelayState) -> None:
        """Move the contact to where the meter's control wants it."""
        if not self.stuck:
            self.closed = wanted is RelayState.CONNECTED

    def read_back(self, wanted: RelayState) -> RelayState:
        """What the meter tells: its control state where the contact agrees, else the contact."""
        if self.closed == (wanted is RelayState.CONNECTED):
            return wanted
        return RelayState.CONNECTED if self.closed else RelayState.DISCONNECTED
