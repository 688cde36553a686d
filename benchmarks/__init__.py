"""Benchmarks: each prints one JSON object, with a ceiling and a baseline of the same run."""
