"""A gateway as a process, meters on lines, a broker, a head-end: values out as they went in."""

from __future__ import annotations

import contextlib
import json

from firmware_profiles import registry
from meter_sim.field.modbus import ModbusResponder
from meter_sim.field.push import PushingMeter, profile_telegram
from meter_sim.field.reports import registers_of, report_of
from meter_sim.field.server import serve_pty, serve_tcp
from meter_sim.registers import WATT_MS_PER_WH

NOW_MS = 1_767_268_800_000
UNITS = range(1, 21)


def quantities(telegram):
    decoded = registry.load(telegram.profile).decode(telegram.payload)
    return {r.register.channel: r.quantity for r in decoded.readings}


async def test_what_meters_show_is_what_the_head_end_decodes(
    tmp_path, gateway_process, head_end, wait_until
):
    p1 = registry.load("nl_dsmr")
    bus = ModbusResponder(dict.fromkeys(UNITS, "eastron_sdm"), clock_ms=lambda: NOW_MS, tcp=True)
    telegram = profile_telegram(p1, "M1", lambda: NOW_MS, seed=1)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve_tcp(lambda: bus, 0))
        line = await stack.enter_async_context(
            serve_pty(PushingMeter(telegram, 0.05), tmp_path / "p1")
        )
        meters = [{"units": "1-20", "map": "eastron_sdm"}]
        modbus = {"name": "bus", "line": f"tcp://127.0.0.1:{port}", "meters": meters}
        gateway = gateway_process(
            MODBUS=json.dumps([modbus | {"period_s": 3600}]),
            P1=json.dumps([{"name": "a", "line": str(line), "meter": "M1", "period_s": 3600}]),
        )
        await wait_until(lambda: len(head_end.rows) >= len(UNITS) + 1)
        assert gateway.stop() == 0
    found = {t.meter: quantities(t) for t in head_end.rows.values()}
    assert len(head_end.rows) == len(found) == len(UNITS) + 1
    assert head_end.conflicts == []
    expected = {r.register.channel: r.quantity for r in report_of(p1, "M1", NOW_MS).readings}
    assert found["M1"] == expected
    for unit in UNITS:
        shown = found[f"bus-{unit}"]["el.energy.import"]
        truth = registers_of(f"unit-{unit}", NOW_MS).import_wms // WATT_MS_PER_WH
        assert truth * 0.9999 <= shown <= truth
