"""Modbus: Carlo Gavazzi EM24."""
