"""Computing again what the log says was concluded: replay, verify, explain (DESIGN §6)."""
