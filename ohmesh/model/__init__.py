"""Meaning: ids, OBIS, units, readings, telegrams, commands. Frozen values, no bytes, no I/O.

Standard library only; every other room may import it. Errors are in `errors`.
"""
