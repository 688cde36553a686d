"""The page and its HTTP API, served by the process that owns the DuckDB file.

Rule 1: what a page shows and what the API answers are one struct, read once (`reads`), rendered as
        HTML (`pages`) or as JSON (`api`).
Rule 2: read only. Nothing here writes to the log or the file; what people command goes through the
        SDK and the command line.
Rule 3: text from the log is data: HTML is built from escaped parts (`markup`), SQL has parameters.
"""
