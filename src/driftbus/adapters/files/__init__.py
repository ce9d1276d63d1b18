"""Recorded events in files: JSON lines, CSV, Parquet."""
