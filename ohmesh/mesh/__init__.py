"""The mesh: a self-healing, multi-root, sans-IO routing engine for smart meters.

A driver builds one ``Station`` per node, feeds it frames and time, and carries out the outputs it
returns (see ``Station`` for the contract)::

    station = Station(StationConfig(node=7, net=1, is_root=False, epoch=0), random.Random(7))
    for output in station.start(now_ms):
        match output:
            case Transmit(frame):
                radio.send(frame)
            case Persist(state):
                disk.write(state)

``Engine`` is the same node without octets, for simulators; its module has the theory of operation.
"""

from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.constants import BROADCAST, INFINITE_RANK, MAX_PAYLOAD_BYTES, MTU_BYTES
from ohmesh.mesh.engine import Engine
from ohmesh.mesh.errors import FrameError, MeshError, MeshUsageError, RejectReason, StateError
from ohmesh.mesh.joining import Applicant
from ohmesh.mesh.outputs import (
    CommandReason,
    CommandResult,
    Delivered,
    ForgetPayload,
    ForgetRoute,
    FrameRejected,
    JoinAsked,
    KeysGranted,
    Output,
    Persist,
    PersistPayload,
    PersistRoute,
    PowerReport,
    Received,
    Trace,
    Transmit,
)
from ohmesh.mesh.routes import RouteEntry
from ohmesh.mesh.sealing import ChecksumSealer, KeyedSealer, Sealer, StubSealer
from ohmesh.mesh.station import Station
from ohmesh.mesh.trickle import Rng

__all__ = [
    "BROADCAST",
    "INFINITE_RANK",
    "MAX_PAYLOAD_BYTES",
    "MTU_BYTES",
    "Applicant",
    "ChecksumSealer",
    "CommandReason",
    "CommandResult",
    "Delivered",
    "Engine",
    "ForgetPayload",
    "ForgetRoute",
    "FrameError",
    "FrameRejected",
    "JoinAsked",
    "KeyedSealer",
    "KeysGranted",
    "MeshError",
    "MeshUsageError",
    "Output",
    "Persist",
    "PersistPayload",
    "PersistRoute",
    "PowerReport",
    "Received",
    "RejectReason",
    "Rng",
    "RouteEntry",
    "Sealer",
    "StateError",
    "Station",
    "StationConfig",
    "StubSealer",
    "Trace",
    "Transmit",
]
