"""A gateway: the product's outbox file on a card that loses power, its sender, downlink and guard.

The pump between them is the one of `gateway.uplink` and `gateway.drivers.mesh`, without waiting.
"""

from __future__ import annotations

import copy
import importlib.util
import random
from functools import partial
from pathlib import Path

import apsw

from gateway.downlink import Downlink, MeshCommand
from gateway.limiter import Census, Guard, Limiter
from gateway.outbox_start import open_outbox
from gateway.power_news import PowerNews
from gateway.sending import Send, Sender, SendingLimits
from ohmesh.mesh import CommandReason
from ohmesh.model.errors import OutboxFull, StoreError
from ohmesh.model.ids import Address, mesh_address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.report import (
    DeliveryReport,
    DeliveryStatus,
    Route,
    TopologyReport,
    encode_report,
)
from ohmesh.wire.uplink import Again, decode_ack, encode_batch
from whole.field import BASE_MS

_DISK = Path(__file__).parents[3] / "integration" / "gateway" / "fault_disk.py"
_spec = importlib.util.spec_from_file_location("whole_fault_disk", _DISK)
fault_disk = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fault_disk)

BYTES_MAX = 8 * 1024 * 1024
KEEP_MS = 12 * 3_600_000
HOUSE_MS = 60_000
TOPOLOGY_MS = 900_000
SENDS_MAX = 50


class Gateway:
    """One gateway; `up`: connected to the broker, `alive`: its program runs."""

    def __init__(self, number, sim, folder, gate_key):
        self.id = number
        self.node = number
        self.name = f"gw{number}"
        self.clock_off_ms = 0
        self.alive = False
        self.up = False
        self._sim = sim
        self._gate_key = gate_key
        self._folder = folder / self.name
        self._folder.mkdir()
        self._path = self._folder / "outbox.db"
        self._life = 0
        self._boot = 0
        self._disk = None
        self._file = None
        self._woken_at = None

    # --- its life -------------------------------------------------------------------------------

    def power_up(self):
        """Open what a power cut left, salvaged on real files if need be, and go on in memory."""
        self._boot += 1
        if self._path.exists():
            open_outbox(self._path, max_bytes=BYTES_MAX, boot=self._boot_name).close()
        self._start({})

    @property
    def _boot_name(self):
        return f"{self._sim.seed}/{self.name}/{self._boot}"

    def _start(self, files):
        self._life += 1
        self._layer = f"ohmesh-{id(self)}-{self._life}"
        self._disk = fault_disk.Disk(self._layer, self._sim.dice)
        self._disk.load(self._folder)
        self._disk.files |= files
        self._file = None
        self.alive = True
        self._state = self._in_file(lambda file: file.state)
        self._acked = self._state.acked_through
        self._sender = Sender(SendingLimits())
        census = Census()
        guard = Guard(
            gate_keys=frozenset({self._gate_key}),
            people={},
            limiter=Limiter(self._boot_name),
            census=census,
            uptime_s=lambda: self._sim.air.now_ms // 1000,
            keep=lambda _: None,
        )
        self._census = census
        self._downlink = Downlink(mesh_payload_max=140, guard=guard)
        self._recent = set()
        self._power = PowerNews()
        self._keep_house(self._life)
        self._sim.air.at(self._sim.air.now_ms + TOPOLOGY_MS, partial(self._tell_routes, self._life))

    def kill(self):
        """Kill -9: what the kernel has taken stays."""
        files = copy.deepcopy(self._disk.files)
        self._end()
        return files

    def cut_power(self):
        """What was not synced may be gone, torn or in another order."""
        self._disk.survive(self._folder)
        self._end()

    def _end(self):
        self.close()
        self._sim.air.kill(self.node)

    def close(self):
        """Leave nothing for the collector, who would find the disk as the last fault left it."""
        if not self.alive:
            return
        self.alive = self.up = False
        self._disk._failing = None
        if self._file is not None:
            self._file.close()
        self._disk.unregister()

    def revive(self, files=None):
        """Start again, after a kill with its files, after a power cut without."""
        if files is None:
            self.power_up()
        else:
            self._start(files)
        self._sim.air.boot(self.node)
        self.connected()

    def fail_disk(self):
        """The next write is refused."""
        self._disk._failing = (self._disk.done + 1, apsw.FullError("no space left"))

    def _in_file(self, work):
        """As the outbox's thread does: after an error the file is opened anew."""
        if self._file is None:
            self._file = open_outbox(
                self._path, max_bytes=BYTES_MAX, boot=self._boot_name, vfs=self._layer
            )
        try:
            result = work(self._file)
        except StoreError:
            self._file.close()
            self._file = None
            raise
        self._state = self._file.state
        return result

    def _keep_house(self, life):
        if life != self._life or not self.alive:
            return
        now_ms = BASE_MS + self._sim.air.now_ms
        try:
            epoch, acked = self._state.epoch, self._acked
            self._in_file(lambda file: file.acknowledge(epoch, acked, now_ms=now_ms))
            self._in_file(lambda file: file.free(acknowledged_before_ms=now_ms - KEEP_MS))
        except StoreError:
            self._sim.judge.note("disk", self.id)
        self._sim.air.at(self._sim.air.now_ms + HOUSE_MS, partial(self._keep_house, life))

    def _tell_routes(self, life):
        if life != self._life or not self.alive:
            return
        entries = self._sim.air.station(self.node).routes()
        routes = [Route(e.node, *e.parents[0], e.hops) for e in entries if e.parents]
        payload = encode_report(TopologyReport(self.node, routes))
        self._append(TelegramKind.TOPOLOGY, "mesh", "", payload)
        self._sim.air.at(self._sim.air.now_ms + TOPOLOGY_MS, partial(self._tell_routes, life))

    # --- the way up -----------------------------------------------------------------------------

    def take(self, delivered):
        """Custody of a payload of the mesh, or not."""
        key = (delivered.origin, delivered.oseq, delivered.payload)
        if not self.alive:
            return False
        address = mesh_address(delivered.origin)
        if key not in self._recent and not self._append(
            TelegramKind.METER, "mesh", address, delivered.payload
        ):
            return False
        self._recent.add(key)
        return True

    def _append(self, kind, source, address, payload):
        at_ms = BASE_MS + self._sim.air.now_ms + self.clock_off_ms
        telegram = Telegram(kind, source, Address(address), "", at_ms, payload)
        try:
            taken = self._in_file(lambda file: file.append([[telegram]]))[0]
        except StoreError:
            self._sim.judge.note("not taken", self.id)
            return False
        if isinstance(taken, OutboxFull):
            return False
        self._census.hear([address], self._sim.air.now_ms // 1000)
        self.pump()
        return True

    def hear_power(self, report):
        """A last gasp, or a restoration."""
        self._power.hear(report.nodes, self._sim.air.now_ms, restored=report.restored)
        for told in self._power.reports():
            self._append(TelegramKind.POWER, "mesh", "", encode_report(told))

    def connected(self):
        """A new connection to the broker, if it is there."""
        self.up = self.alive and self._sim.broker.up
        if self.alive:
            self._sim.air.set_grounded(self.node, grounded=self.up)
        if self.up:
            self._sender.restart()
            self.pump()

    def disconnected(self):
        """The connection is gone."""
        self.up = False
        if self.alive:
            self._sim.air.set_grounded(self.node, grounded=False)

    def pump(self):
        """Send what the sender says, then wake up when it says."""
        for _ in range(SENDS_MAX):
            if not self.up:
                return
            now_ms = self._sim.air.now_ms
            try:
                urgent = self._in_file(lambda file: file.urgent(100))
                state = self._state
                waiting = [seq for seq in urgent if seq >= self._acked]
                self._sender.observe(state.epoch, self._acked, state.next_seq, waiting)
                step = self._sender.step(now_ms)
                if not isinstance(step, Send):
                    self._wake_at(step.until_ms)
                    return
                self._send(step, now_ms)
            except StoreError:
                self._wake_at(now_ms + 1000)
                return

    def _send(self, step, now_ms):
        epoch = self._state.epoch
        telegrams = self._in_file(
            lambda file: file.batch(step.first_seq, limit=step.limit, max_bytes=256 * 1024)
        )
        payload = encode_batch(
            self.name, epoch, step.first_seq, telegrams, acked=max(0, self._acked)
        )
        self._sim.broker.publish_up(topics.gateway_topic(self.name, "up"), payload)
        self._sim.judge.note("batch", self.id, epoch, step.first_seq, len(telegrams))
        self._sender.sent(epoch, step, len(telegrams), now_ms)

    def _wake_at(self, at_ms):
        if at_ms is None:
            return
        at_ms = max(at_ms, self._sim.air.now_ms + 1)
        if self._woken_at is not None and self._sim.air.now_ms < self._woken_at <= at_ms:
            return
        self._woken_at = at_ms
        self._sim.air.at(at_ms, self.pump)

    def take_ack(self, octets):
        """The head-end's word."""
        if not self.alive:
            return
        ack = decode_ack(octets)
        if ack.again is not Again.NOTHING:
            self._send_again(ack)
        elif ack.epoch == self._state.epoch and self._acked < ack.through <= self._state.next_seq:
            self._acked = ack.through
        self.pump()

    def _send_again(self, ack):
        if ack.epoch != self._state.epoch:
            return
        first = None if ack.again is Again.ALL else ack.through
        now_ms = BASE_MS + self._sim.air.now_ms
        epoch, acked = self._state.epoch, self._acked
        try:
            self._in_file(lambda file: file.acknowledge(epoch, acked, now_ms=now_ms))
            self._in_file(lambda file: file.begin_again(first, now_ms=now_ms))
        except StoreError:
            return
        self._acked = self._state.acked_through
        self._sim.judge.note("again", self.id, self._state.epoch)

    @property
    def acknowledged(self):
        """The epoch, and the number below which it was told that all is committed."""
        return self._state.epoch, max(0, self._acked)

    @property
    def backlog(self):
        """Rows that the head-end has not acknowledged."""
        return self._state.next_seq - self._acked

    # --- the way down ---------------------------------------------------------------------------

    def order(self, octets):
        """Bytes of the topic `down`."""
        if not self.alive:
            return
        decision = self._downlink.receive(self._now_s(), octets)
        if isinstance(decision, MeshCommand):
            self._sim.air.command(self.node, decision.node, decision.payload, decision.token)
        elif decision is not None:
            self._report(decision)

    def ended(self, result):
        """The mesh is done with a command."""
        delivered = result.reason is CommandReason.ACCEPTED
        status = DeliveryStatus.DELIVERED if delivered else DeliveryStatus.NO_ROUTE
        report = self._downlink.ended(result.token, status, result.reason.value)
        if report is not None:
            self._report(report)

    def expire(self):
        """Give up what is past its deadline."""
        for report in self._downlink.expire(self._now_s()) if self.alive else ():
            self._report(report)

    def _now_s(self):
        return (BASE_MS + self._sim.air.now_ms) // 1000

    def _report(self, report: DeliveryReport):
        self._append(TelegramKind.DELIVERY, "gateway", "", encode_report(report))


def seeded_epochs(seed):
    """A source of epochs in the place of the system's random numbers."""
    return random.Random(f"epochs/{seed}").randrange
