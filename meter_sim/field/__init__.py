"""The simulated field: meters of the profiles on ports and lines, for drivers to read."""
