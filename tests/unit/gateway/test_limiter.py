from __future__ import annotations

import errno
import uuid

import pytest

from gateway.downlink import Downlink, MeshCommand
from gateway.limiter import HOUR_S, Census, Guard, Limiter, limit
from ohmesh.model.ids import mesh_address
from ohmesh.wire.downlink import DownMessage, encode_down
from ohmesh.wire.release import Release, public_key, sign_approval, sign_release
from ohmesh.wire.report import DeliveryStatus

GATE, ANNA, BERT, STRANGER = (bytes([n]) * 32 for n in range(1, 5))
NOW_S = 1_800_000_000
OFF = bytes((0x15,)) + b"sealed"


class Machine:
    """One gateway: its clocks, its disk, and the guard over them."""

    def __init__(self, meters=60, gate_keys=(GATE,)):
        self.boot, self.up_s, self.now_s = "a", 1000, NOW_S
        self.disk, self.full = None, False
        self.meters, self.gate_keys = meters, gate_keys
        self.start()

    def start(self):
        census = Census()
        census.hear((mesh_address(n) for n in range(self.meters)), self.up_s)
        self.guard = Guard(
            gate_keys=frozenset(map(public_key, self.gate_keys)),
            people={"anna": public_key(ANNA), "bert": public_key(BERT)},
            limiter=Limiter.load(self.disk, self.boot, self.up_s),
            census=census,
            uptime_s=lambda: self.up_s,
            keep=self._keep,
        )
        self.downlink = Downlink(mesh_payload_max=140, guard=self.guard)

    def reboot(self, boot):
        self.boot, self.up_s = boot, 5
        self.start()

    def _keep(self, octets):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.disk = octets

    def order(self, node, *, command=None, release=None, approvals=()):
        """Order a meter off; None when it goes out, else why not."""
        command = command or uuid.uuid4().bytes
        if release is None:
            release = released(node, command, self.now_s + 600)
        message = DownMessage(
            command, mesh_address(node), self.now_s + 600, 3, OFF, release, approvals
        )
        answer = self.downlink.receive(self.now_s, encode_down(message))
        if isinstance(answer, MeshCommand):
            self.downlink.ended(answer.token, DeliveryStatus.DELIVERED)
            return None
        assert answer.status is DeliveryStatus.REFUSED
        return answer.detail


def released(node, command, not_after_s, key=GATE):
    return sign_release(key, mesh_address(node), Release(command, not_after_s, "T1"))


def two(command, *people, not_after_s=NOW_S + 600):
    subject = f"release:{uuid.UUID(bytes=command)}"
    signed = [sign_approval(key, name, subject, not_after_s) for name, key in people]
    return tuple((one.name, one.not_after_s, one.signature) for one in signed)


def off(machine, nodes):
    return [node for node in nodes if machine.order(node) is None]


def test_a_hostile_head_end_switches_off_a_tenth_in_an_hour_on_each_of_a_hundred_gateways():
    assert [len(off(Machine(), range(60))) for _ in range(100)] == [6] * 100


def test_the_next_come_when_an_hour_is_over_and_not_before():
    machine = Machine()
    assert off(machine, range(60)) == [0, 1, 2, 3, 4, 5]
    machine.up_s += HOUR_S - 1
    assert off(machine, range(6, 60)) == []
    machine.up_s += 1
    assert off(machine, range(6, 60)) == [6, 7, 8, 9, 10, 11]


def test_reboots_and_clocks_that_jump_let_none_through():
    machine = Machine()
    done = off(machine, range(60))
    for turn in range(50):
        machine.reboot(f"boot {turn}")
        machine.now_s += (-1) ** turn * 86_400
        done += off(machine, range(60))
    assert set(done) == set(range(6))
    machine.up_s += HOUR_S
    assert len(off(machine, range(6, 60))) == 6


def test_a_restart_of_the_program_forgets_nothing():
    machine = Machine()
    off(machine, range(4))
    machine.up_s += 100
    machine.start()
    assert off(machine, range(10, 60)) == [10, 11]


def test_the_same_meter_again_is_not_one_more():
    machine = Machine()
    off(machine, range(60))
    assert machine.order(0) is None
    assert machine.order(7) is not None


@pytest.mark.parametrize(("meters", "most"), [(0, 3), (30, 3), (39, 3), (40, 4), (1000, 100)])
def test_the_limit(meters, most):
    assert limit(meters) == most


def test_a_damaged_file_shuts_for_an_hour():
    machine = Machine()
    machine.disk = b"\xc1garbage"
    machine.start()
    assert off(machine, range(60)) == []
    machine.up_s += HOUR_S
    assert len(off(machine, range(60))) == 6


def test_what_cannot_be_counted_on_disk_does_not_leave():
    machine = Machine()
    machine.full = True
    assert "cannot be counted on disk" in machine.order(1)


def test_two_people_pass_the_limit_for_one_command_and_one_does_not():
    machine = Machine()
    off(machine, range(60))
    command = uuid.uuid4().bytes
    anna, bert = ("anna", ANNA), ("bert", BERT)
    for approvals in (
        (),
        two(command, anna),
        two(command, anna, anna),
        two(command, anna, ("bert", STRANGER)),
        two(command, anna, ("eve", STRANGER)),
        two(command, anna, bert, not_after_s=NOW_S - 1),
        two(uuid.uuid4().bytes, anna, bert),
    ):
        assert "of 60 meters" in machine.order(30, command=command, approvals=approvals)
    assert machine.order(30, command=command, approvals=two(command, anna, bert)) is None
    assert "of 60 meters" in machine.order(31)


def test_no_release_no_disconnection():
    machine = Machine()
    command = uuid.uuid4().bytes
    for release, why in (
        (b"", "no valid release"),
        (bytes(100), "no valid release"),
        (released(1, command, NOW_S + 600, key=STRANGER), "no valid release"),
        (released(2, command, NOW_S + 600), "no valid release"),
        (released(1, uuid.uuid4().bytes, NOW_S + 600), "another command"),
        (released(1, command, NOW_S - 1), "expired"),
    ):
        assert why in machine.order(1, command=command, release=release)
    assert machine.disk is None, "nothing was counted"
    assert machine.order(1, command=command) is None


def test_a_replayed_command_counts_once_and_not_beyond_its_release():
    machine, command = Machine(), uuid.uuid4().bytes
    release = released(1, command, NOW_S + 600)
    assert [machine.order(1, command=command, release=release) for _ in range(20)] == [None] * 20
    assert len(off(machine, range(2, 60))) == 5, "it was one of six"
    assert "another command" in machine.order(1, release=release)
    assert "no valid release" in machine.order(2, command=command, release=release)
    machine.now_s += 601
    assert "expired" in machine.order(1, command=command, release=release)


def test_without_a_gate_s_key_nobody_is_switched_off():
    assert "limiter.gate_keys" in Machine(gate_keys=()).order(1)


def test_the_census_forgets_who_was_not_heard_for_two_days():
    census = Census()
    census.hear(["a", "b", "", "a"], 10)
    assert census.meters == 2
    census.hear(["c"], 86_400)
    assert census.meters == 3
    census.hear(["c"], 2 * 86_400)
    assert census.meters == 1
    census.hear(["d"], 9 * 86_400)
    assert census.meters == 1
