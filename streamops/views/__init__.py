"""What the log looks like to a person: its archive, its read port, and the DuckDB views of it."""
