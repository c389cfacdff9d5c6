"""SML 1.04 (BSI TR-03109-1 annex IV): transport, type-length trees, messages."""
