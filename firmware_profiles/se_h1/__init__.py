"""Sweden: the customer port H1, P1 text or DLMS lists."""
