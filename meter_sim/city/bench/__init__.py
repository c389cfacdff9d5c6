"""The benchmark of the simulator itself."""
