"""A seeded, single-process simulation of the loop on a simulated Kafka (docs/explanation/epochs).

`python -m tests.simulation.seeded --seeds 10000` plays seeds and prints one JSON line.
"""
