"""Our Modbus driver against servers of pymodbus: somebody else's reading of the standard."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tty

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware_profiles import registry
from gateway.drivers.line import Line, LineSettings
from gateway.drivers.modbus import ModbusBus, ModbusMeter
from gateway.drivers.registers import read_plan
from meter_sim.servers.process import free_port


def device(unit):
    """An Eastron meter: import 1234.5 kWh at 0048h, everything else zero."""
    registers = [0] * 0x200
    registers[0x48:0x4A] = struct.unpack(">HH", struct.pack(">f", 1234.5))
    return SimDevice(id=unit, simdata=[SimData(0, values=registers, datatype=DataType.REGISTERS)])


@contextlib.asynccontextmanager
async def pymodbus_tcp(framer):
    port = free_port()
    server = ModbusTcpServer(device(7), framer=framer, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def pymodbus_serial():
    """Two pseudo-terminals joined as by a cable; pymodbus at one, our line at the other."""
    ours, ours_end = os.openpty()
    theirs, theirs_end = os.openpty()
    for end in (ours_end, theirs_end, ours, theirs):
        tty.setraw(end)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: os.write(theirs, os.read(ours, 4096)))
    loop.add_reader(theirs, lambda: os.write(ours, os.read(theirs, 4096)))
    server = ModbusSerialServer(
        device(7), framer=FramerType.RTU, port=os.ttyname(theirs_end), baudrate=19200
    )
    await server.serve_forever(background=True)
    try:
        yield os.ttyname(ours_end)
    finally:
        await server.shutdown()
        for end in (ours, theirs):
            loop.remove_reader(end)
        for end in (ours, ours_end, theirs, theirs_end):
            os.close(end)


@pytest.mark.parametrize("framing", ["tcp", "rtu over tcp", "rtu on a port"])
async def test_a_server_of_pymodbus_is_read(framing):
    framer = FramerType.SOCKET if framing == "tcp" else FramerType.RTU
    peer = pymodbus_serial() if framing == "rtu on a port" else pymodbus_tcp(framer)
    meter = ModbusMeter(7, "b-7", "modbus", read_plan("eastron_sdm"))
    bus = ModbusBus([meter], timeout_s=3, framing="tcp" if framing == "tcp" else "rtu")
    async with peer as address:
        line = await Line.open(LineSettings(address, 19200))
        try:
            answer = await bus.ask(line, 0)
        finally:
            line.close()
        await asyncio.sleep(0)
    decoded = registry.load("modbus").decode(answer.payloads[0])
    found = {r.register.channel: r.quantity for r in decoded.readings}
    assert found["el.energy.import"] == 1_234_500
    assert decoded.device == {"unit": "7"}
