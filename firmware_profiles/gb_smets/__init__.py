"""Great Britain: headers of SMETS2 device messages (GBCS)."""
