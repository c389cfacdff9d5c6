"""Events to other systems: signed, at least once, and never to an address inside."""
