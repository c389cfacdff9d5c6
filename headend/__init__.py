"""The server: ingest, store, prepayment, commands, API and pages."""
