"""Gateways to broker to ingest to database: real servers, programs of their own."""
