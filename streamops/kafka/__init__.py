"""The broker as a thing to start, fetch and declare topics on; no event is read here."""
