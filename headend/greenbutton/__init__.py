"""Green Button: a meter's intervals as an ESPI Atom feed. Pure."""
