"""Pages: what `reads` found, as HTML. No queries here."""
