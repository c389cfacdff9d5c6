"""DLMS/COSEM (IEC 62056): APDUs, transports, ciphering, push lists; client and server sessions."""
