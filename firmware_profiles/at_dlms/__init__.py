"""Austria: DLMS push lists on wired M-Bus, ciphered."""
