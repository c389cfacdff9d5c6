"""Commands on their way down: what to hand to a driver, and what to tell the head-end. Pure.

Theory of operation. The head-end sends a command again and again until its result is there, so
here nothing is kept on disk: a command is *in flight* from its acceptance until the driver says
how it ended or its deadline passes, and the same command arriving meanwhile is dropped. Each
accepted or refused command is answered by exactly one `DeliveryReport`; sent again later it is a
new flight with a report of its own, and the meter executes each command once.

A command passes all checks of `_refusal` or is refused; the last of them is the guard's, who limits
what the head-end may order (`gateway.limiter`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ohmesh.model.errors import WireError
from ohmesh.model.ids import NodeId, mesh_node
from ohmesh.wire import envelope
from ohmesh.wire.downlink import DownMessage, decode_down
from ohmesh.wire.report import DeliveryReport, DeliveryStatus
from ohmesh.wire.sealed import takes_supply_away

if TYPE_CHECKING:
    from gateway.limiter import Guard

_log = logging.getLogger(__name__)

IN_FLIGHT_MAX = 1000
_DETAIL_MAX = 200


@dataclass(frozen=True, slots=True)
class MeshCommand:
    """One command for the mesh driver; `token` comes back with its end."""

    token: int
    node: NodeId
    payload: bytes


class _CommandId(msgspec.Struct, array_like=True, frozen=True):
    """The first field of a DownMessage, all that a refusal needs."""

    command: bytes


_id_decoder = msgspec.msgpack.Decoder(_CommandId)
_ID_BYTES = 16


class Downlink:
    """The commands in flight at one gateway."""

    def __init__(self, *, mesh_payload_max: int, guard: Guard) -> None:
        """Connect the parts.

        Args:
            mesh_payload_max: longest payload for a mesh node; 0 without a mesh.
            guard: judges what takes supply away.
        """
        self._guard = guard
        self._mesh_payload_max = mesh_payload_max
        self._tokens: dict[bytes, int] = {}
        self._flights: dict[int, DownMessage] = {}
        self._last_token = 0

    def receive(self, now_s: int, octets: bytes) -> MeshCommand | DeliveryReport | None:
        """Bytes of the topic `down`.

        Args:
            now_s: UTC seconds since 1970.
            octets: a DownMessage, or anything.

        Returns:
            A command to submit, a report to send up, or None: a repetition, or garbage without
            even a command's id.
        """
        try:
            message = decode_down(octets)
        except WireError as error:
            return _malformed(octets, error)
        if message.command in self._tokens:
            return None
        report = self._refusal(now_s, message)
        if report is not None:
            return report
        node = mesh_node(message.meter)
        assert node is not None
        self._last_token += 1
        self._tokens[message.command] = self._last_token
        self._flights[self._last_token] = message
        return MeshCommand(self._last_token, node, message.payload)

    def ended(self, token: int, status: DeliveryStatus, detail: str = "") -> DeliveryReport | None:
        """A driver is done with a command; None when its deadline had passed before."""
        message = self._flights.pop(token, None)
        if message is None:
            return None
        del self._tokens[message.command]
        return DeliveryReport(message.command, status, detail[:_DETAIL_MAX])

    def expire(self, now_s: int) -> list[DeliveryReport]:
        """Give up what is past its deadline."""
        late = [token for token, message in self._flights.items() if message.not_after_s < now_s]
        reports = [self.ended(token, DeliveryStatus.EXPIRED) for token in late]
        return [report for report in reports if report is not None]

    def _refusal(self, now_s: int, message: DownMessage) -> DeliveryReport | None:
        """The first reason to refuse, None to accept."""

        def refuse(status: DeliveryStatus, detail: str = "") -> DeliveryReport:
            return DeliveryReport(message.command, status, detail[:_DETAIL_MAX])

        if message.not_after_s < now_s:
            return refuse(DeliveryStatus.EXPIRED)
        if not self._mesh_payload_max or mesh_node(message.meter) is None:
            return refuse(DeliveryStatus.NO_ROUTE, f"no driver here reaches {message.meter}")
        if not 1 <= len(message.payload) <= self._mesh_payload_max:
            length, limit = len(message.payload), self._mesh_payload_max
            return refuse(DeliveryStatus.REFUSED, f"{length} bytes; the mesh takes 1 to {limit}")
        if len(self._flights) >= IN_FLIGHT_MAX:
            return refuse(DeliveryStatus.REFUSED, f"{IN_FLIGHT_MAX} commands are under way")
        if takes_supply_away(message.payload):
            why = self._guard.refusal(message, now_s)
            return refuse(DeliveryStatus.REFUSED, why) if why else None
        return None


def _malformed(octets: bytes, error: WireError) -> DeliveryReport | None:
    """The report for a message that is broken behind its id; a log line when the id is too."""
    try:
        command = envelope.unpack(octets, _id_decoder).command
    except WireError:
        command = b""
    if len(command) != _ID_BYTES:
        _log.warning("not a command: %s", error)
        return None
    return DeliveryReport(command, DeliveryStatus.REFUSED, str(error)[:_DETAIL_MAX])
