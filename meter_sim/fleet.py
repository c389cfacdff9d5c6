"""The meters of one process: frames, orders and time in, frames out. Pure but for its store.

One call is one turn: whatever the nodes want stored is committed in one transaction, and only then
do their frames leave. Node numbers and times come from outside; nobody here reads a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firmware_profiles import registry
from meter_sim.calendar import Calendar
from meter_sim.household import Household
from meter_sim.meter import Meter, MeterConfig
from meter_sim.node import MeterNode, Surroundings
from meter_sim.registers import check_channels
from meter_sim.wakes import Wakes
from ohmesh.mesh import StationConfig
from ohmesh.wire.aircontrol import AirAction, AirControl, AirStatus
from ohmesh.wire.joining import JoinCipher, join_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meter_sim.roster import Roster, RosterMeter
    from meter_sim.store import FleetStore
    from meter_sim.truth import TruthFile
    from ohmesh.wire.air import Heard

Frames = list[tuple[int, bytes]]
"""(node, frame) to put on the air, in order."""
EVERY_NODE = 0


class Fleet:
    """Meters that share a process.

    Args:
        roster: everybody.
        meters: those of this process.
        store: what they remember.
        truth: where they write what they produce.
        listener: the process's name on the air.
    """

    def __init__(
        self,
        roster: Roster,
        meters: Sequence[RosterMeter],
        *,
        store: FleetStore,
        truth: TruthFile,
        listener: str,
    ) -> None:
        self.listener = listener
        self._roster = roster
        calendar = Calendar(roster.start_ms, 0, roster.calendar_speed)
        self._around = Surroundings(calendar, store, truth)
        self._nodes = {m.node: self._node(m) for m in meters}
        self._wakes = Wakes()

    def _node(self, entry: RosterMeter) -> MeterNode:
        roster, profile = self._roster, registry.load(entry.profile)
        check_channels([profile.spec.registers[name] for name in profile.spec.reported])
        config = MeterConfig(
            meter=entry.meter,
            address=entry.address,
            key=entry.key,
            profile=profile,
            interval_s=roster.interval_s,
            household=Household.of(roster.seed, entry.node),
            control_mode=entry.control_mode,
            decoder_key=bytes.fromhex(entry.token_key_hex),
            maker_key=bytes.fromhex(roster.maker_key_hex),
        )
        snapshot = self._around.store.recall(entry.node).state
        station = StationConfig(
            node=entry.node,
            net=roster.net,
            is_root=False,
            epoch=0,
            timer_divisor=roster.timer_divisor,
        )
        flash = self._around.store.flash(entry.node)
        meter = Meter(config, roster.start_ms, snapshot, flash=flash)
        join = JoinCipher(join_key(entry.key), net=roster.net, node=entry.node)
        return MeterNode(meter, station, roster.seed, self._around, join if roster.closed else None)

    @property
    def nodes(self) -> list[int]:
        """Their node numbers."""
        return list(self._nodes)

    def start(self, now_ms: int) -> Frames:
        """Boot all. A fleet that ran before goes on at the simulated time at which it ended."""
        meters = [node.meter for node in self._nodes.values()]
        start_ms = max([meter.at_ms for meter in meters], default=self._roster.start_ms)
        self._around.calendar = Calendar(start_ms, now_ms, self._roster.calendar_speed)
        for meter in meters:
            if meter.at_ms < start_ms - self._roster.interval_s * 1000:
                meter.power_up(start_ms)  # new in the roster, or dead when the fleet ended
        for node in self._nodes.values():
            node.boot(now_ms)
        return self._end_turn(self._nodes.values())

    def heard(self, now_ms: int, heard: Iterable[Heard]) -> Frames:
        """The ether let nodes hear frames; others than ours are nobody's business here."""
        touched = {}
        for one in heard:
            node = self._nodes.get(one.node)
            if node:
                touched[one.node] = node
                node.heard(now_ms, one.frame, one.rssi_dbm)
        return self._end_turn(touched.values())

    def control(self, now_ms: int, number: int, order: AirControl) -> Frames:
        """Obey an order for a node, or for all of them as node 0."""
        if number == EVERY_NODE:
            chosen = list(self._nodes.values())
        else:
            chosen = [node for node in (self._nodes.get(number),) if node]
        if order.action is AirAction.STOP and number == EVERY_NODE:
            self._around.calendar = self._around.calendar.stop(now_ms)
        for node in chosen:
            _obey(node, now_ms, order)
        return self._end_turn(chosen)

    @property
    def next_ms(self) -> int | None:
        """When `wake` wants to be called."""
        return self._wakes.next_ms

    def wake(self, now_ms: int) -> Frames:
        """Let every node do what is due."""
        touched = {}
        while (number := self._wakes.take(now_ms)) is not None:
            touched[number] = self._nodes[number]
            touched[number].tick(now_ms)
        return self._end_turn(touched.values())

    def status(self, now_ms: int) -> AirStatus:
        """The counts for the demo and for tests."""
        nodes = self._nodes.values()

        def total(count: Callable[[MeterNode], int]) -> int:
            return sum(map(count, nodes))

        return AirStatus(
            listener=self.listener,
            meters=len(nodes),
            alive=total(lambda node: node.alive),
            joined=total(lambda node: node.joined),
            reports=total(lambda node: node.meter.reports),
            readings=total(lambda node: node.meter.readings),
            backlog=total(lambda node: node.backlog),
            stopped=self._around.calendar.stopped,
            time=datetime.fromtimestamp(self._around.calendar.at(now_ms) / 1000, UTC).isoformat(),
        )

    def _end_turn(self, touched: Iterable[MeterNode]) -> Frames:
        """Commit the turn, queue the next calls of the nodes it touched, let the frames go."""
        for node in touched:
            self._wakes.put(node.number, node.next_ms)
        self._around.truth.flush()
        self._around.store.commit()
        frames, self._around.frames = self._around.frames, []
        return frames


def _obey(node: MeterNode, now_ms: int, order: AirControl) -> None:
    """What an order does to one node; the rest is the ether's."""
    match order.action:
        case AirAction.KILL:
            node.kill(meter=order.meter)
        case AirAction.REVIVE:
            node.revive(now_ms)
        case AirAction.STICK:
            node.meter.contactor.stuck = order.on
        case AirAction.BYPASS:
            node.meter.contactor.bypassed = order.on
        case AirAction.EVENT if order.event:
            node.notice(now_ms, order.event)
        case _:
            pass


def share(meters: Sequence[RosterMeter], part: tuple[int, int]) -> list[RosterMeter]:
    """Part I of N: every N-th meter from the I-th on. Args: part: (I, N), 1 <= I <= N."""
    index, count = part
    return list(meters[index - 1 :: count])
