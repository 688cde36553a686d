"""A seeded simulation of the loop in one process, without a broker (docs/explanation/epochs.md).

Rule 1: processors, checkpoints and sender are the product's; broker, disks and days are simulated.
"""
