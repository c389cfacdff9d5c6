"""DL/T 698.45: link frames, data types and the answers to read requests."""
