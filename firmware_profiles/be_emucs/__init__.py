"""Belgium: eMUCS-P1, the customer port of Fluvius, Ores and Sibelga meters."""
