"""Programs that feed processors: poll, decode, step, produce, checkpoint. They decide nothing."""
