"""Bytes to model and back, between gateway and head-end, and between head-end and meter."""
