"""The customer port P1 of DSMR, ESMR, eMUCS, Smarty and the Swedish H1: text lines and a CRC."""
