"""A city on a real broker: engines in processes, real gateways, the ether between them (E17)."""
