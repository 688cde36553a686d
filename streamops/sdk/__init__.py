"""Behind `streamops.Client`: one noun a module; msgspec and confluent-kafka are all it needs."""
