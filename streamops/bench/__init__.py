"""Benches that a user can run: what the detection promises, measured on their machine.

`streamops bench detection` from a shell, `streamops.bench.detection.measure()` from Python.
"""
