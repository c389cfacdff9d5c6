"""A city of meters on virtual time: streets, radio, faults, and what the graph itself allows.

Pure: no clock, no randomness but counter-based hashes of the seed. Needs the `sim` extra (scipy).
"""
