"""Chaos: a whole stack under kill -9, pauses and twins, against one who knows the truth."""
