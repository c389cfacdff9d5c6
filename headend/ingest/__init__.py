"""Ingest: telegrams from the broker become committed readings, exactly once."""
