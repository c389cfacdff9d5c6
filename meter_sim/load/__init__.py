"""Load: the telegrams of a large fleet, made beforehand, then sent as a fleet sends them."""
