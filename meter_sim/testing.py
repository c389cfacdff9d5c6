"""For tests of this room and of whoever needs meters without a broker.

`Desk` is the head-end's side of one meter. `Street` runs a whole roster on virtual time: the
fleet, the channel and a mesh root for each gateway, in one process and without waiting.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firmware_profiles import registry
from meter_sim.fleet import Fleet
from meter_sim.household import Household
from meter_sim.medium import Medium
from meter_sim.meter import Message, Meter, MeterConfig
from meter_sim.radio import build_links
from meter_sim.store import FleetStore
from meter_sim.truth import TruthFile
from ohmesh.mesh import CommandResult as MeshResult
from ohmesh.mesh import Delivered, Output, Station, StationConfig, Transmit
from ohmesh.model.command import Command, CommandKind, CommandResult
from ohmesh.model.ids import mesh_address
from ohmesh.wire.air import Heard
from ohmesh.wire.aircontrol import AirAction, AirControl
from ohmesh.wire.metercommand import decode_result, encode_command
from ohmesh.wire.sealed import Opened, SealedKind, kind_of_command, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from meter_sim.roster import Roster

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
NEVER_S = 2**39
STEADY = Household(seed=5, mean_w=400, roof_w=0, first_wh=1_000_000)
CLOCK_MS = 1_790_000_000_000
"""Where the virtual clock of a street begins."""


@dataclass
class Desk:
    """The head-end's side of one meter."""

    meter: Meter
    counter: int = 0
    key: bytes = b""
    """Of the seal, once it was changed."""
    seen_counters: set[int] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        profile: str = "nl_dsmr",
        household: Household = STEADY,
        interval_s: int = 900,
        **more: Any,
    ) -> Desk:
        """A new meter and its desk; `more` goes to the MeterConfig."""
        config = MeterConfig(
            meter="M0001",
            address=mesh_address(100),
            key=secrets.token_bytes(16),
            profile=registry.load(profile),
            interval_s=interval_s,
            household=household,
            **more,
        )
        return cls(Meter(config, START_MS))

    def sealed(
        self,
        kind: CommandKind,
        *,
        sequence: int = 1,
        not_after_s: int = NEVER_S,
        ident: bytes | None = None,
        argument: int = 0,
        body: bytes = b"",
    ) -> bytes:
        """A sealed command; a random id when none is given."""
        self.counter += 1
        ident = secrets.token_bytes(16) if ident is None else ident
        octets = encode_command(Command(ident, kind, sequence, not_after_s, argument, body))
        config = self.meter.config
        return seal(
            self.key or config.key, config.address, kind_of_command(kind), self.counter, octets
        )

    def answer(
        self, octets: bytes, *, now_ms: int = START_MS, clock_s: int = START_MS // 1000
    ) -> CommandResult:
        """Deliver a sealed command and open the result."""
        opened = [self.open(m) for m in self.meter.execute(octets, now_ms, clock_s)]
        assert opened[-1].kind is SealedKind.RESULT
        return decode_result(opened[-1].body)

    def open(self, message: Message) -> Opened:
        """Open a message of the meter; its counter must never have been seen before."""
        key = self.key or self.meter.config.key
        opened = unseal(key, self.meter.config.address, message.payload)
        assert opened.counter not in self.seen_counters
        self.seen_counters.add(opened.counter)
        return opened

    def reboot(self) -> None:
        """Power lost and back, the state kept."""
        old = self.meter
        self.meter = Meter(
            old.config, START_MS, old.snapshot(), flash=old.flash, contactor=old.contactor
        )


class Street:
    """A roster on virtual time.

    Args:
        roster: everybody.
        store: what the meters remember; None keeps it in memory.
        truth: where the meters write what they produce.
    """

    def __init__(
        self, roster: Roster, store: FleetStore | None = None, truth: Path | None = None
    ) -> None:
        self.roster = roster
        self.now_ms = CLOCK_MS
        self.received: dict[tuple[int, int], bytes] = {}
        """(origin, oseq) -> payload, as the gateways took it."""
        self.deliveries = 0
        self.commands: dict[int, bool] = {}
        """Token -> whether the mesh got the command through."""
        self._store = store or FleetStore(None)
        self._truth = TruthFile(truth, self._store)
        self.fleet = Fleet(
            roster, roster.meters, store=self._store, truth=self._truth, listener="street"
        )
        self._medium = Medium(
            build_links(roster.radio.model, roster.seed, roster.sites),
            seed=roster.seed,
            rate_kbps=roster.radio.rate_kbps,
            time_divisor=roster.timer_divisor,
        )
        self.roots = {gateway.node: self._root(gateway.node) for gateway in roster.gateways}

    def _root(self, node: int) -> Station:
        config = StationConfig(
            node=node,
            net=self.roster.net,
            is_root=True,
            epoch=CLOCK_MS // 1000,
            timer_divisor=self.roster.timer_divisor,
        )
        return Station(config, random.Random(node))  # noqa: S311 - repeatable on purpose

    def start(self) -> None:
        """Boot everybody."""
        for node, root in self.roots.items():
            self._carry_out(node, root.start(self.now_ms))
        self._send(self.fleet.start(self.now_ms))

    def run_until(self, done: Callable[[], bool], limit_s: int) -> bool:
        """Let time pass until something holds; False when it does not within the limit."""
        limit_ms = self.now_ms + limit_s * 1000
        while not done():
            if self.now_ms >= limit_ms:
                return False
            self._step(limit_ms)
        return True

    def run(self, seconds: int) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def order(self, node: int, action: AirAction, *, meter: bool = False) -> None:
        """A fault, to the radio and to the meters, as the ether and the fleet get it."""
        if action is AirAction.KILL:
            self._medium.kill(node)
        elif action is AirAction.REVIVE:
            self._medium.revive(node)
        order = AirControl(action, meter=meter)
        self._send(self.fleet.control(self.now_ms, node, order))

    def lose(self, node: int, peer: int | None, percent: int | None) -> None:
        """Links of a node, or the one to a peer, lose a share of all frames; None: no more."""
        self._medium.set_loss(node, peer, percent)

    def parents(self) -> dict[int, int]:
        """Node -> its parent, as the roots know it; the nearest root's word where two know it."""
        known: dict[int, tuple[int, int]] = {}
        for root in self.roots.values():
            for route in root.routes():
                if route.parents and route.hops:
                    way = (route.hops, route.parents[0][0])
                    known[route.node] = min(known.get(route.node, way), way)
        return {node: parent for node, (_, parent) in known.items()}

    def command(self, root: int, node: int, payload: bytes, token: int) -> None:
        """Send a payload down."""
        self._carry_out(root, self.roots[root].command(self.now_ms, node, payload, token))

    def close(self) -> None:
        """Close truth and store."""
        self._truth.close()
        self._store.close()

    def _step(self, limit_ms: int) -> None:
        due = [root.next_wake_ms for root in self.roots.values()]
        due.append(self.fleet.next_ms)
        ends_us = self._medium.next_end_us
        due.append(None if ends_us is None else -(-ends_us // 1000))
        next_ms = min([at for at in due if at is not None], default=limit_ms)
        self.now_ms = max(self.now_ms, min(next_ms, limit_ms))
        self._hear()
        for node, root in self.roots.items():
            if root.next_wake_ms is not None and root.next_wake_ms <= self.now_ms:
                self._carry_out(node, root.wake(self.now_ms))
        self._send(self.fleet.wake(self.now_ms))

    def _hear(self) -> None:
        heard = []
        for arrival in self._medium.completed(self.now_ms * 1000):
            root = self.roots.get(arrival.node)
            if root:
                outputs = root.receive(self.now_ms, arrival.frame, arrival.rssi_dbm)
                self._carry_out(arrival.node, outputs)
            else:
                heard.append(Heard(arrival.node, arrival.rssi_dbm, arrival.t_us, arrival.frame))
        if heard:
            self._send(self.fleet.heard(self.now_ms, heard))

    def _send(self, frames: Iterable[tuple[int, bytes]]) -> None:
        for node, frame in frames:
            self._medium.transmit(self.now_ms * 1000, node, frame)

    def _carry_out(self, node: int, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(frame):
                    self._send([(node, frame)])
                case Delivered(token, origin, oseq, _, payload):
                    self.deliveries += 1
                    self.received[origin, oseq] = payload
                    # The outbox commits at once.
                    taken = self.roots[node].custody(self.now_ms, token, True)  # noqa: FBT003
                    self._carry_out(node, taken)
                case MeshResult(token, ok, _):
                    self.commands[token] = ok
                case _:  # what only metrics want
                    pass
