"""Modbus: RTU frames of register reads, binary numbers, register maps."""
