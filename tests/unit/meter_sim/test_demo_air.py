"""The demo's hand on the air."""

from __future__ import annotations

import msgspec

from meter_sim.demo.air import Air
from ohmesh.wire import topics
from ohmesh.wire.aircontrol import AirAction, AirStatus, decode_control, encode_control


def test_an_order_to_stop_is_given_again_until_the_fleet_says_that_it_has(monkeypatch):
    air, sent = Air("mqtt://127.0.0.1:1883", 1), []
    monkeypatch.setattr(air._client, "send", lambda _, octets: sent.append(decode_control(octets)))
    running = AirStatus("fleet", 60, 59, 58, 600, 1200, 3, stopped=False, time="2026-01-01")
    assert [air.stop(), air.stop()] == [False, False]
    answers = []
    for status in (running, msgspec.structs.replace(running, stopped=True)):
        air._hear(topics.air_status(1, "fleet"), encode_control(status))
        answers.append(air.stop())
    assert answers == [False, True]
    assert [order.action for order in sent] == [AirAction.STOP] * 3
