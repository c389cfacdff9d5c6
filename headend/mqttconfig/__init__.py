"""Mosquitto's configuration: TLS with our own authority, and who may touch which topic."""
