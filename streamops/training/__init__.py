"""Training: batch and online learners, their artifacts, and the trainer that answers requests.

What is trained here is recorded on the log, never computed again by a replay (DESIGN rule 9).
"""
