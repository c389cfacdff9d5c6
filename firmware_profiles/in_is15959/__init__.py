"""India: IS 15959 over DLMS; synthetic."""
