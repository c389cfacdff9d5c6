"""How fast a gateway is, and how little it needs."""
