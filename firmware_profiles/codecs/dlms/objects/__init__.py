"""COSEM objects of a simulated meter (IEC 62056-6-2), by what they are for."""
