"""Outages: last gasps gathered into one alarm with the element that has likely failed."""
