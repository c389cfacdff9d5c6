"""South Africa and Ghana: DLMS meters with STS prepayment; synthetic."""
