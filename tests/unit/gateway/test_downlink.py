from __future__ import annotations

import msgspec
import pytest

from gateway import downlink as downlink_module
from gateway.downlink import Downlink, MeshCommand
from ohmesh.model.ids import mesh_address
from ohmesh.wire import envelope
from ohmesh.wire.downlink import DownMessage, encode_down
from ohmesh.wire.report import DeliveryReport, DeliveryStatus

ID = b"0123456789abcdef"
NOW_S = 1_800_000_000


def message(command=ID, meter=None, not_after_s=NOW_S + 60, payload=b"sealed"):
    meter = mesh_address(42) if meter is None else meter
    return encode_down(DownMessage(command, meter, not_after_s, 3, payload))


class Refusing:
    """A guard that says no."""

    def refusal(self, _message, _now_s):
        return "not today"


@pytest.fixture
def downlink():
    return Downlink(mesh_payload_max=140, guard=Refusing())


def test_the_guard_is_asked_about_what_takes_supply_away_and_nothing_else(downlink):
    report = downlink.receive(NOW_S, message(payload=bytes((0x15,)) + b"sealed"))
    assert report == DeliveryReport(ID, DeliveryStatus.REFUSED, "not today")
    assert isinstance(downlink.receive(NOW_S, message(payload=bytes((0x13,)))), MeshCommand)


def test_a_command_goes_to_its_node_and_its_end_is_reported_once(downlink):
    command = downlink.receive(NOW_S, message())
    assert command == MeshCommand(1, 42, b"sealed")
    report = downlink.ended(command.token, DeliveryStatus.DELIVERED, "accepted")
    assert report == DeliveryReport(ID, DeliveryStatus.DELIVERED, "accepted")
    assert downlink.ended(command.token, DeliveryStatus.DELIVERED) is None


def test_a_repetition_is_dropped_while_the_command_is_under_way_and_taken_after(downlink):
    first = downlink.receive(NOW_S, message())
    assert downlink.receive(NOW_S, message()) is None
    assert isinstance(downlink.receive(NOW_S, message(command=b"x" * 16)), MeshCommand)
    downlink.ended(first.token, DeliveryStatus.NO_ROUTE)
    again = downlink.receive(NOW_S, message())
    assert isinstance(again, MeshCommand)
    assert again.token != first.token


def test_a_command_past_its_deadline_is_not_sent(downlink):
    report = downlink.receive(NOW_S, message(not_after_s=NOW_S - 1))
    assert report == DeliveryReport(ID, DeliveryStatus.EXPIRED)
    assert isinstance(downlink.receive(NOW_S, message(not_after_s=NOW_S)), MeshCommand)


def test_a_command_under_way_expires_once_and_its_late_end_is_silent(downlink):
    command = downlink.receive(NOW_S, message(not_after_s=NOW_S + 10))
    assert downlink.expire(NOW_S + 10) == []
    assert downlink.expire(NOW_S + 11) == [DeliveryReport(ID, DeliveryStatus.EXPIRED)]
    assert downlink.expire(NOW_S + 12) == []
    assert downlink.ended(command.token, DeliveryStatus.DELIVERED) is None


@pytest.mark.parametrize("meter", ["M1", "mesh-zz", "mesh-0000002", ""])
def test_a_meter_without_a_driver_has_no_route(downlink, meter):
    try:
        octets = message(meter=meter)
    except msgspec.ValidationError:
        octets = envelope.pack(DownMessage(ID, meter, NOW_S, 3, b"x"))
    report = downlink.receive(NOW_S, octets)
    assert report.command == ID
    assert report.status in {DeliveryStatus.NO_ROUTE, DeliveryStatus.REFUSED}
    assert report.detail


def test_without_a_mesh_nothing_has_a_route():
    report = Downlink(mesh_payload_max=0, guard=Refusing()).receive(NOW_S, message())
    assert report.status is DeliveryStatus.NO_ROUTE


@pytest.mark.parametrize("payload", [b"", b"x" * 141])
def test_a_payload_that_the_mesh_cannot_carry_is_refused(downlink, payload):
    assert downlink.receive(NOW_S, message(payload=payload)).status is DeliveryStatus.REFUSED


def test_too_many_commands_are_refused(downlink, monkeypatch):
    monkeypatch.setattr(downlink_module, "IN_FLIGHT_MAX", 2)
    results = [downlink.receive(NOW_S, message(command=bytes([n]) * 16)) for n in range(3)]
    assert [isinstance(r, MeshCommand) for r in results] == [True, True, False]
    assert results[2].status is DeliveryStatus.REFUSED
    downlink.expire(NOW_S + 1000)
    assert isinstance(downlink.receive(NOW_S, message(command=b"n" * 16)), MeshCommand)


def test_what_is_broken_behind_the_id_is_refused_by_name(downlink):
    body = msgspec.msgpack.encode([ID, "no/meter", -5, 99, "text"])
    report = downlink.receive(NOW_S, bytes((1, 0)) + body)
    assert (report.command, report.status) == (ID, DeliveryStatus.REFUSED)


@pytest.mark.parametrize("octets", [b"", b"\x01\x00", b"\x01\x00\xc1", b"{}", b"\x02\x00\x90"])
def test_garbage_is_dropped_with_a_line(downlink, octets, caplog):
    assert downlink.receive(NOW_S, octets) is None
    assert "not a command" in caplog.text
