"""M-Bus and wireless M-Bus meters of Europe: water, gas, heat, allocators, electricity."""
