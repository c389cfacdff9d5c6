"""Netherlands: DSMR and ESMR P1 text telegrams."""
