"""The report on a model for an auditor: one file, from the archive alone."""
