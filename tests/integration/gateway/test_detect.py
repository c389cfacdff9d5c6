"""What `detect` prints about a simulated meter is loaded, and reads that meter."""

from __future__ import annotations

import contextlib
import os
import tty

import pytest

from firmware_profiles import registry
from gateway import config
from gateway.detect import Search, detect, sections
from meter_sim.field.mbus import MbusResponder
from meter_sim.field.modbus import ModbusResponder
from meter_sim.field.optical import OpticalResponder
from meter_sim.field.push import PushingMeter, profile_telegram, readout_telegram
from meter_sim.field.server import serve_pty, serve_tcp

NOW_MS = 1_767_268_800_000
QUICK = Search(listen_s=0.3, answer_s=0.1, units=range(1, 6), addresses=range(4))


def clock_ms():
    return NOW_MS


def pushed(name):
    return PushingMeter(profile_telegram(registry.load(name), "M1", clock_ms, seed=1), 0.05)


def optical():
    return OpticalResponder(
        readout_telegram(registry.load("de_sml"), "M1", clock_ms, seed=1, checked=True)
    )


def mbus():
    ids = {number: f"{number:08d}" for number in (1, 2)}
    return MbusResponder(registry.load("eu_mbus"), ids, clock_ms=clock_ms)


def modbus(*, tcp=False):
    maps = {1: "eastron_sdm", 2: "eastron_sdm", 4: "carlo_gavazzi_em24", 5: "sunspec_meter_int"}
    return ModbusResponder(maps, clock_ms=clock_ms, tcp=tcp)


def loaded(find, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(sections([find])))
    return getattr(config.load(path), find.kind)


@pytest.mark.parametrize(
    ("meter", "kind"),
    [
        (lambda: pushed("nl_dsmr"), "p1"),
        (lambda: pushed("de_sml"), "sml"),
        (optical, "optical"),
        (mbus, "mbus"),
        (modbus, "modbus"),
    ],
)
async def test_a_meter_on_a_port_is_found_and_its_section_loads(tmp_path, meter, kind):
    async with serve_pty(meter(), tmp_path / "port") as line:
        find = await detect(str(line), QUICK)
        assert find is not None
        assert find.kind == kind
        (section,) = loaded(find, tmp_path)
        assert section.line == str(line)
    if kind == "mbus":
        assert section.meters == ("1-2",)
    if kind == "modbus":
        assert {m.map: m.units for m in section.meters} == {
            "eastron_sdm": "1-2",
            "carlo_gavazzi_em24": "4",
            "sunspec_meter_int": "5",
        }


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_modbus_meters_behind_tcp_are_found(tmp_path, framing):
    async with serve_tcp(lambda: modbus(tcp=framing == "tcp"), 0) as port:
        find = await detect(f"tcp://127.0.0.1:{port}", QUICK)
        assert find is not None
        (section,) = loaded(find, tmp_path)
    assert section.rtu == (framing == "rtu")
    assert sum(len(m.units.split(",")) for m in section.meters) == 3


async def test_a_silent_port_has_nothing():
    ours, end = os.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        stack.callback(os.close, end)
        tty.setraw(end)
        few = Search(listen_s=0.05, answer_s=0.02, units=[1], addresses=[1])
        assert await detect(os.ttyname(end), few) is None
