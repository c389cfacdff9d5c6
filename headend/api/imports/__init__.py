"""Files that people bring: meters and history, as CSV or Parquet, line by line."""
