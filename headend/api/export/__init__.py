"""Answers as files: CSV, XLSX, Parquet and Arrow, streamed, by `?format=` or Accept."""
