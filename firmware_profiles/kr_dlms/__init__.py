"""Korea: generic DLMS, 15-minute load profile; synthetic."""
