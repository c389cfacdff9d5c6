"""Modbus meters of any country, by register maps."""
